// Between the messages on the wire and typed arguments and replies, by the fields' names: no code per call.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "guest/linux/tasks.h"
#include "guest/profile/structure.h"
#include "protocol/call_schema.h"
#include "vmi.pb.h"
#include "vmi/calls/answer_buffer.h"
#include "vmi/calls/long_call.h"

namespace furnace::vmi {

/// The meaning of an integer field of a request.
enum class Number : uint8_t {
  Address,
  Pid,
  Count,
  Value,
  Vcpu,
  Identifier,
  EventType,
  SyncState,
  RegValue,
  BreakpointAddress,
  BreakpointPid,
  WatchAddress,
  WatchPhysical,
  WatchLength,
  WatchAccess,
  Uid,
  SyscallNumber,
  Returns,
  Notices,
  Gathers,
  Last
};
/// The meaning of a text or bytes field.
enum class Text : uint8_t { Symbol, Member, Buffer, Register, BreakpointName, Last };

/// A request's arguments; what was left out is missing. Texts point into the request.
class Arguments {
 public:
  [[nodiscard]] std::optional<uint64_t> get(Number which) const {
    const auto index = static_cast<size_t>(which);
    return has_number_.test(index) ? std::optional(numbers_.at(index)) : std::nullopt;
  }
  [[nodiscard]] std::optional<std::string_view> get(Text which) const {
    const auto index = static_cast<size_t>(which);
    return has_text_.test(index) ? std::optional(texts_.at(index)) : std::nullopt;
  }
  void set(Number which, uint64_t value) {
    const auto index = static_cast<size_t>(which);
    numbers_.at(index) = value;
    has_number_.set(index);
  }
  void set(Text which, std::string_view value) {
    const auto index = static_cast<size_t>(which);
    texts_.at(index) = value;
    has_text_.set(index);
  }

 private:
  static constexpr auto kNumbers = static_cast<size_t>(Number::Last);
  static constexpr auto kTexts = static_cast<size_t>(Text::Last);
  std::bitset<kNumbers> has_number_;
  std::bitset<kTexts> has_text_;
  std::array<uint64_t, kNumbers> numbers_{};
  std::array<std::string_view, kTexts> texts_{};
};

/// All bytes that a long call fills are in its room in the answer.
struct Filled {};

/// What a call answers. A failed call may carry a part of its result (a short read).
struct Reply {
  std::variant<std::monostate, uint64_t, std::string, guest::ProcessList, guest::Structure, Filled,
               std::unique_ptr<LongCall>>
      value;                     ///< a LongCall: the reply comes from its steps
  std::optional<int64_t> bytes;  ///< bytes read or written
  std::optional<Error> error;    ///< status 1, and why
  std::string note;  ///< what a caller should know of a success; goes where the reason of a failure does

  std::optional<protocol::BatchError> refusal;  ///< it can't be executed at all: the batch ends here

  Reply() = default;
  Reply(uint64_t number) : value(number) {}                           // NOLINT(google-explicit-constructor)
  Reply(std::string text) : value(std::move(text)) {}                 // NOLINT(google-explicit-constructor)
  Reply(guest::ProcessList list) : value(std::move(list)) {}          // NOLINT(google-explicit-constructor)
  Reply(guest::Structure structure) : value(std::move(structure)) {}  // NOLINT(google-explicit-constructor)
  explicit Reply(Filled filled) : value(filled) {}
  explicit Reply(std::unique_ptr<LongCall> call) : value(std::move(call)) {}
  Reply(tl::unexpected<Error> failure)
      : error(std::move(failure.value())) {}  // NOLINT(google-explicit-constructor)
};

class Codec;
struct ReadDecoder;

/// What later calls may take from an answer that was encoded.
struct EncodedAnswer {
  const Codec* codec;
  uint64_t value = 0;
  int64_t bytes = 0;
  int32_t status = 0;

  /// An integer field of the answer; 0 if it is not set.
  [[nodiscard]] uint64_t integer(const google::protobuf::FieldDescriptor& field) const;
};

/// Reads a call's requests and writes its answers.
class Codec {
 public:
  using Message = google::protobuf::Message;
  using Field = google::protobuf::FieldDescriptor;

  explicit Codec(const protocol::Call& call);

  /// The `index`-th request of this call in `message`; an empty one where the element was left out.
  [[nodiscard]] const Message& request(const wire::VmiMessage& message, int index) const;
  [[nodiscard]] Arguments decode(const Message& request) const;
  /// The link of a request, or nullptr.
  [[nodiscard]] const wire::Linkage* link(const Message& request) const;
  /// Appends the answer to a VmiMessage's bytes.
  EncodedAnswer encode(const Reply& reply, AnswerBuffer& out) const;
  /// The room for `count` bytes of an answer, of which nothing is appended yet.
  [[nodiscard]] std::span<std::byte> room_for_bytes(size_t count, AnswerBuffer& out) const;
  /// Appends the answer around that room, whose bytes are filled in.
  EncodedAnswer encode_filled(std::span<const std::byte> room, AnswerBuffer& out) const;

  [[nodiscard]] bool repeated() const { return schema_.request->is_repeated(); }
  [[nodiscard]] const std::vector<const Field*>& request_fields() const { return schema_.request_fields; }
  [[nodiscard]] const std::vector<const Field*>& answer_fields() const { return schema_.answer_fields; }
  /// The meaning of a request's field that is a number; nullopt for texts and links.
  [[nodiscard]] std::optional<Number> number_of(size_t field) const;

 private:
  friend struct EncodedAnswer;
  void encode_list(const Reply& reply, AnswerBuffer& out) const;

  const protocol::CallSchema& schema_;
  const ReadDecoder* read_decoder_ = nullptr;  // of reads of numbers, which batches are made of
  const Message* empty_;
  const Message* empty_answer_;
  std::vector<std::optional<Number>> numbers_;  // per request field
  std::vector<std::optional<Text>> texts_;
};

[[nodiscard]] bool is_integer(const google::protobuf::FieldDescriptor& field);

}  // namespace furnace::vmi
