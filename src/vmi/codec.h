// Between the messages on the wire and typed arguments and replies, by the fields' names: no code per call.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "guest/linux/tasks.h"
#include "guest/profile/structure.h"
#include "protocol/calls.h"
#include "vmi.pb.h"

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
  Last
};
/// The meaning of a text or bytes field.
enum class Text : uint8_t { Symbol, Member, Buffer, Register, BreakpointName, Last };

/// A request's arguments; what was left out is missing. Texts point into the request.
class Arguments {
 public:
  [[nodiscard]] std::optional<uint64_t> get(Number which) const {
    return numbers_.at(static_cast<size_t>(which));
  }
  [[nodiscard]] std::optional<std::string_view> get(Text which) const {
    return texts_.at(static_cast<size_t>(which));
  }
  void set(Number which, uint64_t value) { numbers_.at(static_cast<size_t>(which)) = value; }
  void set(Text which, std::string_view value) { texts_.at(static_cast<size_t>(which)) = value; }

 private:
  std::array<std::optional<uint64_t>, static_cast<size_t>(Number::Last)> numbers_{};
  std::array<std::optional<std::string_view>, static_cast<size_t>(Text::Last)> texts_{};
};

/// What a call answers. A failed call may carry a part of its result (a short read).
struct Reply {
  std::variant<std::monostate, uint64_t, std::string, std::vector<guest::Process>, guest::Structure> value;
  std::optional<int64_t> bytes;  ///< bytes read or written
  std::optional<Error> error;    ///< status 1, and why
  std::string note;              ///< what a caller should know of a success; goes where the reason of a failure does

  Reply() = default;
  Reply(uint64_t number) : value(number) {}                            // NOLINT(google-explicit-constructor)
  Reply(std::string text) : value(std::move(text)) {}                  // NOLINT(google-explicit-constructor)
  Reply(std::vector<guest::Process> list) : value(std::move(list)) {}  // NOLINT(google-explicit-constructor)
  Reply(guest::Structure structure) : value(std::move(structure)) {}   // NOLINT(google-explicit-constructor)
  Reply(tl::unexpected<Error> failure)
      : error(std::move(failure.value())) {}  // NOLINT(google-explicit-constructor)
};

/// One call's messages: the request's and the answer's fields in the order of their declaration, which links
/// count in.
class Codec {
 public:
  using Message = google::protobuf::Message;
  using Field = google::protobuf::FieldDescriptor;

  explicit Codec(const protocol::Call& call);

  /// The `index`-th request of this call in `message`; an empty one where the element was left out.
  [[nodiscard]] const Message& request(const wire::VmiMessage& message, int index) const;
  /// Adds an answer of this call to `message`.
  [[nodiscard]] Message& add_answer(wire::VmiMessage& message) const;

  [[nodiscard]] Arguments decode(const Message& request) const;
  void encode(Reply reply, Message& answer) const;

  [[nodiscard]] bool repeated() const { return request_->is_repeated(); }
  [[nodiscard]] const std::vector<const Field*>& request_fields() const { return request_fields_; }
  [[nodiscard]] const std::vector<const Field*>& answer_fields() const { return answer_fields_; }
  [[nodiscard]] const Field* link_field() const { return link_; }
  /// The number a request field stands for; nullopt for texts and links.
  [[nodiscard]] std::optional<Number> number_of(size_t field) const;

 private:
  const Field* request_;
  const Field* answer_;
  const Field* link_ = nullptr;
  const Message* empty_;
  std::vector<const Field*> request_fields_;
  std::vector<const Field*> answer_fields_;
  std::vector<std::optional<Number>> numbers_;  // per request field
  std::vector<std::optional<Text>> texts_;
  const Field* status_ = nullptr;
  const Field* value_ = nullptr;
  const Field* bytes_ = nullptr;
  const Field* reason_ = nullptr;
};

/// An integer field's value, whatever its width and sign; 0 if it is not set.
[[nodiscard]] uint64_t integer(const google::protobuf::Message& message,
                               const google::protobuf::FieldDescriptor& field);
[[nodiscard]] bool is_integer(const google::protobuf::FieldDescriptor& field);

}  // namespace furnace::vmi
