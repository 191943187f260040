// Which processes make which system calls, most first: every second a table, in C++ to keep up with a busy
// VM.
//
//     g++ -std=c++20 -O2 -shared -fPIC -Iinclude apps/syscall_top/app.cc -o app.so
//     furnace app -c app --u2 my-app --vmi DIR --md 10       (seconds to run)
#include <furnace/app.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <utility>
#include <vector>

using namespace furnace::tenant;

class SyscallTop : public App {
 public:
  explicit SyscallTop(Host& host) : host_(host) {
    const auto registered =
        host_.on_event({.kind = EventKind::Syscall}, [this](const Event& event) { count(event); });
    if (!registered) fail(registered.error());
    if (auto started = host_.events_start(); !started) fail(started.error());
    if (!host_.metadata().empty()) seconds_ = std::atoi(std::string(host_.metadata()).c_str());
    host_.add_timer(1.0, [this] { print(); });
  }

 private:
  void count(const Event& event) {
    lost_ += event.lost;
    ++total_;
    const auto key = std::pair(event.pid, event.syscall);
    auto found = counts_.find(key);
    if (found == counts_.end())
      found = counts_.emplace(key, Count{std::string(event.process), std::string(event.syscall_name)}).first;
    ++found->second.calls;
  }

  void print() {
    std::printf("%lu system calls, %lu lost\n", total_, lost_);
    std::vector<std::pair<Pid, const Count*>> order;
    for (const auto& [key, count] : counts_) order.emplace_back(key.first, &count);
    std::sort(order.begin(), order.end(),
              [](const auto& a, const auto& b) { return a.second->calls > b.second->calls; });
    constexpr size_t rows = 10;
    for (size_t i = 0; i < std::min(rows, order.size()); ++i)
      std::printf("%8lu %6d %-15s %s\n", order[i].second->calls, static_cast<int>(order[i].first),
                  order[i].second->process.c_str(), order[i].second->name.c_str());
    std::fflush(stdout);
    counts_.clear();
    total_ = lost_ = 0;
    if (--seconds_ <= 0) host_.exit();
  }

  void fail(const Error& error) {
    host_.log(error.message);
    host_.exit();
  }

  struct Count {
    std::string process, name;
    unsigned long calls = 0;
  };
  Host& host_;
  std::map<std::pair<Pid, uint32_t>, Count> counts_;  ///< by process and number
  unsigned long total_ = 0, lost_ = 0;
  int seconds_ = 10;
};

FURNACE_APP(SyscallTop)
