// A call that may take long, done in steps, so that other apps are served between them.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>

namespace furnace::vmi {

struct CallContext;
struct Reply;

/// Between two steps anything may happen: the guest runs, it is paused and resumed, events come, processes
/// exit, the app leaves. A call whose guest was reset in between is not continued.
class LongCall {
 public:
  virtual ~LongCall() = default;

  /// How many bytes of guest memory it reads straight into the answer.
  [[nodiscard]] virtual size_t fills() const { return 0; }
  /// Bytes that it holds by now, beside those.
  [[nodiscard]] virtual size_t holds() const { return 0; }

  /// Works for at most some hundred microseconds. Returns the reply when the call is done; it may be another
  /// long call. `room` is the answer's part for the bytes that it fills, the same at each step.
  [[nodiscard]] virtual std::optional<Reply> step(CallContext& context, std::span<std::byte> room) = 0;
};

/// The end of a step that walks the list of tasks, which is begun now. The list of a usual guest is read in
/// one step.
[[nodiscard]] inline std::chrono::steady_clock::time_point end_of_step() {
  constexpr std::chrono::microseconds longest(200);
  return std::chrono::steady_clock::now() + longest;
}

}  // namespace furnace::vmi
