// Failure as a value: Result<T> holds a T or an Error that says what failed, where and why.
#pragma once

#include <fmt/format.h>

#include <cerrno>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace furnace {

/// What kind of failure, for callers that decide by it (exit codes, retries); the text is for people.
enum class Errc {
  Failed,       ///< anything without a kind of its own
  Invalid,      ///< the input is malformed or out of range
  NotFound,     ///< the named thing does not exist
  Unmapped,     ///< a guest address that nothing backs
  Unavailable,  ///< may work later: guest booting, peer disconnected, resource busy
  Denied,       ///< permission refused
  Interrupted,  ///< a signal came (base/signals.h)
  Gone,         ///< what was needed has ended, and it is not waited for any longer
  Busy,         ///< what there is of it is in use, or a limit is reached
};

/// The exit code of a process that exits because of Errc::Gone.
inline constexpr int kEndedForGone = 3;

/// An explained failure. Every layer that knows more puts its part in front with `context`.
class Error {
 public:
  Error(Errc code, std::string message) : code_(code), message_(std::move(message)) {}

  [[nodiscard]] Errc code() const { return code_; }
  [[nodiscard]] const std::string& message() const { return message_; }

  /// The same failure with "`where`: " in front.
  [[nodiscard]] Error context(std::string_view where) const {
    return {code_, fmt::format("{}: {}", where, message_)};
  }

 private:
  Errc code_;
  std::string message_;
};

template <typename T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

/// `return fail(Errc::Invalid, "port {}: out of range", port);`
template <typename... Args>
[[nodiscard]] tl::unexpected<Error> fail(Errc code, fmt::format_string<Args...> format, Args&&... args) {
  return tl::unexpected<Error>(Error(code, fmt::format(format, std::forward<Args>(args)...)));
}

/// Passes an error on with "`where`: " in front.
[[nodiscard]] inline tl::unexpected<Error> fail(const Error& error, std::string_view where) {
  return tl::unexpected<Error>(error.context(where));
}

/// As `fail`, with the text of errno after the message.
template <typename... Args>
[[nodiscard]] tl::unexpected<Error> fail_errno(fmt::format_string<Args...> format, Args&&... args);

/// errno as an Errc and its text ("Permission denied").
[[nodiscard]] Errc errno_code(int error_number);
[[nodiscard]] std::string errno_text(int error_number);

template <typename... Args>
tl::unexpected<Error> fail_errno(fmt::format_string<Args...> format, Args&&... args) {
  const int error_number = errno;
  return tl::unexpected<Error>(
      Error(errno_code(error_number),
            fmt::format(format, std::forward<Args>(args)...) + ": " + errno_text(error_number)));
}

}  // namespace furnace

#define FURNACE_JOIN_(a, b) a##b
#define FURNACE_JOIN(a, b) FURNACE_JOIN_(a, b)

// NOLINTBEGIN(bugprone-macro-parentheses): a declaration can't stand in parentheses
/// Declares `target` with the value of `expression`, or returns its error to the caller.
#define FURNACE_TRY(target, expression)                                            \
  auto FURNACE_JOIN(try_, __LINE__) = (expression);                                \
  if (!FURNACE_JOIN(try_, __LINE__))                                               \
    return tl::unexpected<::furnace::Error>(FURNACE_JOIN(try_, __LINE__).error()); \
  target = *std::move(FURNACE_JOIN(try_, __LINE__))

/// Returns the error of a Status to the caller.
#define FURNACE_CHECK(expression)                                                          \
  if (auto FURNACE_JOIN(check_, __LINE__) = (expression); !FURNACE_JOIN(check_, __LINE__)) \
  return tl::unexpected<::furnace::Error>(FURNACE_JOIN(check_, __LINE__).error())

// NOLINTEND(bugprone-macro-parentheses)
