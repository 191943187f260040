// What a peer sends, piece by piece as it comes: greeting, commands, messages. No I/O, and nothing is held
// that was not allowed first.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "zmtp/message.h"
#include "zmtp/wire.h"

namespace furnace::zmtp {

/// What one peer may send.
struct DecoderLimits {
  size_t message = 12 << 20;  ///< bytes of all its parts together
  size_t parts = 1000;
  size_t parts_kept = 8;  ///< the others are read and left out
  size_t command = 1024;  ///< bytes of one
};

class Decoder {
 public:
  explicit Decoder(const DecoderLimits& limits = {}) : limits_(limits) {}

  enum class Step : uint8_t {
    More,      ///< all of the input is taken
    Greeting,  ///< the peer's has come
    Command,   ///< one is there: `command`
    Message,   ///< one is there: `take`
    Room,      ///< the next part waits for `allow`
  };
  /// Takes bytes off the front of `input` up to the next thing to do. An error ends the connection; it says
  /// what the peer does: "sends a message of ... bytes".
  [[nodiscard]] Result<Step> read(std::span<const std::byte>& input);

  /// How many bytes the message takes with the part that waits; the parts so far are among them.
  [[nodiscard]] size_t wanted() const { return message_bytes_ + header_.size; }
  /// Lets the message grow up to that.
  void allow(size_t bytes) { allowed_ = bytes; }
  [[nodiscard]] size_t allowed() const { return allowed_; }

  /// Where the rest of a part goes that is being received: reading there saves a copy. Empty if none is.
  [[nodiscard]] std::span<std::byte> rest_of_part();
  /// Takes bytes that were put there; the part may be whole then.
  [[nodiscard]] Step put(size_t bytes);

  /// Valid until the next `read`.
  [[nodiscard]] Result<Command> command() const { return parse_command(as_bytes_of(command_)); }
  [[nodiscard]] Message take();
  /// A message, or what comes before the first, has begun and is not whole.
  [[nodiscard]] bool is_amid() const { return state_ != State::Header || !head_.empty() || parts_ != 0; }

 private:
  enum class State : uint8_t { Greeting, Header, Asking, Part, Skipping, Command };
  [[nodiscard]] static std::span<const std::byte> as_bytes_of(const std::string& text) {
    return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
  }
  [[nodiscard]] Result<Step> read_greeting(std::span<const std::byte>& input);
  [[nodiscard]] Result<bool> read_header(std::span<const std::byte>& input);
  [[nodiscard]] Status begin_frame();
  void begin_part();
  [[nodiscard]] Step end_part();
  [[nodiscard]] Step skip(std::span<const std::byte>& input);
  [[nodiscard]] Step read_command(std::span<const std::byte>& input);

  DecoderLimits limits_;
  State state_ = State::Greeting;
  std::string head_;  // of a greeting or a header that has not come whole
  FrameHeader header_;
  size_t got_ = 0;  // of the frame's content
  std::string command_;
  Message message_;
  size_t message_bytes_ = 0, parts_ = 0;  // of the message so far
  size_t allowed_ = 0;
};

}  // namespace furnace::zmtp
