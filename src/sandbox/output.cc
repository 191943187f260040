#include "sandbox/output.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>
#include <utility>

namespace furnace::sandbox {
namespace {

constexpr size_t kTurn = 1 << 20;  ///< bytes: what the pipe holds
constexpr std::chrono::milliseconds kBetweenTurns(10);
constexpr std::chrono::milliseconds kPause(100);  ///< for who has printed too much

void write_all(int to, const char* data, size_t size) {
  while (size > 0) {
    const ssize_t written = ::write(to, data, size);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;  // our output is not read any more
    data += written;
    size -= static_cast<size_t>(written);
  }
}

}  // namespace

Output::Output(Fd from, int to, const OutputLimit& limit)
    : from_(std::move(from)), to_(to), limit_(limit), left_(static_cast<int64_t>(limit.at_once)) {
  // NOLINTBEGIN(cppcoreguidelines-pro-type-vararg)
  ::fcntl(from_.get(), F_SETFL, O_NONBLOCK);
  (void)::fcntl(from_.get(), F_SETPIPE_SZ,
                static_cast<int>(kTurn));  // refused to a user who has many: it stays smaller
  // NOLINTEND(cppcoreguidelines-pro-type-vararg)
}

void Output::hand_on(std::string_view text) {
  write_all(to_, text.data(), text.size());
  left_ -= static_cast<int64_t>(text.size());
}

void Output::forward(Clock::time_point now) {
  const auto passed = std::chrono::duration_cast<std::chrono::milliseconds>(now - last_);
  last_ += passed;
  constexpr int64_t ms = 1000;
  left_ = std::min(static_cast<int64_t>(limit_.at_once),
                   left_ + passed.count() * static_cast<int64_t>(limit_.per_second) / ms);
  constexpr size_t piece = 64 << 10;
  std::array<char, piece> data;  // NOLINT: is filled
  for (size_t taken = 0; taken < kTurn;) {
    const size_t wanted = over_limit() ? piece : std::min<uint64_t>(piece, static_cast<uint64_t>(left_));
    const ssize_t got = ::read(from_.get(), data.data(), wanted);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) break;
    if (got <= 0) {
      hand_on(safe_.end());
      from_.close();
      return;
    }
    const std::string_view text(data.data(), static_cast<size_t>(got));
    taken += text.size();
    if (over_limit()) {
      dropped_ += text.size();
    } else {
      hand_on(limit_.raw ? std::string(text) : safe_.take(text));
    }
    if (text.size() < wanted) break;  // a writer that keeps up would have us read byte by byte
  }
  next_turn_ = now + (over_limit() ? kPause : kBetweenTurns);
}

uint64_t Output::take_dropped() {
  return std::exchange(dropped_, 0);
}

}  // namespace furnace::sandbox
