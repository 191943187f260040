// What the benchmarks share: timing two things in turn, and the floor beside the figure.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <vector>

namespace furnace::bench {

template <typename F>
double microseconds(const F& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count();
}

inline double median(std::vector<double> all) {
  std::nth_element(all.begin(), all.begin() + static_cast<ptrdiff_t>(all.size() / 2), all.end());
  return all[all.size() / 2];
}

/// Microseconds of each of two interleaved things, so that the machine's noise falls on both.
struct Samples {
  std::vector<double> floor, call;
  void report(const char* name) const {
    fmt::print("{:<28} floor {:7.1f} us   call {:7.1f} us   ratio {:.2f}\n", name, median(floor),
               median(call), median(call) / median(floor));
  }
};

}  // namespace furnace::bench
