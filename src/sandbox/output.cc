#include "sandbox/output.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace furnace::sandbox {
namespace {

void write_all(int to, const char* data, size_t size) {
  while (size > 0) {
    const ssize_t written = ::write(to, data, size);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;  // nobody reads us
    data += written;
    size -= static_cast<size_t>(written);
  }
}

}  // namespace

bool Output::forward(Clock::time_point now) {
  constexpr size_t piece = 64 << 10;
  std::array<char, piece> data;  // NOLINT: is filled
  const ssize_t got = ::read(from_.get(), data.data(), data.size());
  if (got < 0 && (errno == EINTR || errno == EAGAIN)) return true;
  if (got <= 0) return false;
  const auto passed = std::chrono::duration_cast<std::chrono::milliseconds>(now - last_);
  last_ += passed;
  constexpr uint64_t ms = 1000;
  left_ = std::min(limit_.at_once, left_ + static_cast<uint64_t>(passed.count()) * limit_.per_second / ms);
  const uint64_t fits = std::min<uint64_t>(left_, static_cast<uint64_t>(got));
  write_all(to_, data.data(), fits);
  left_ -= fits;
  dropped_ += static_cast<uint64_t>(got) - fits;
  return true;
}

uint64_t Output::take_dropped() {
  return std::exchange(dropped_, 0);
}

}  // namespace furnace::sandbox
