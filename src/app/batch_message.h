// A message of many calls as a tenant makes it: calls by name, arguments by their fields' names, links
// between them.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "app/arguments.h"
#include "base/result.h"
#include "vmi.pb.h"

namespace furnace::app {

struct NamedArgument {
  std::string_view field;
  Argument value;
};

/// An argument taken from an earlier answer of the same message (wire.md, "Links").
struct Link {
  uint32_t call = 0;    ///< index of the earlier call in the message
  uint32_t source = 0;  ///< index of the field in its answer
  uint32_t target = 0;  ///< index of the field in this request
  int operation = 0;    ///< F_ADD 1, F_SUB 2, F_OVERWRITE 3
};

/// What an error_num of a message says (wire.md, error numbers).
[[nodiscard]] std::string_view meaning_of_refusal(int32_t error);
/// And which kind of error it is.
[[nodiscard]] Errc kind_of_refusal(int32_t error);

/// A call by its name in any case: "READ_32_VA", "read_32_va". The error names it.
[[nodiscard]] Result<const protocol::Call*> call_named(std::string_view name);

/// Index of a field in a call's answer or request, as links count them. The error lists the fields.
[[nodiscard]] Result<uint32_t> answer_field(const protocol::Call& call, std::string_view field);
[[nodiscard]] Result<uint32_t> request_field(const protocol::Call& call, std::string_view field);

/// Adds a call to `message`. Errors name call and field.
[[nodiscard]] Status add_call(wire::VmiMessage& message, const protocol::Call& call,
                              std::span<const NamedArgument> arguments, const std::optional<Link>& link);

/// One call's part of an answer.
struct CallAnswer {
  const protocol::Call* call;
  const google::protobuf::Message* fields;  ///< in the message that was split
};
/// The answers in the order of the calls, as many as were executed.
[[nodiscard]] Result<std::vector<CallAnswer>> split_answer(const wire::VmiMessage& answer);

/// What `error`, `error_num` and `error_loc` of an answer mean, with the call they are about; nullopt if it
/// is whole.
[[nodiscard]] std::optional<Error> batch_failure(const wire::VmiMessage& request,
                                                 const wire::VmiMessage& answer);

}  // namespace furnace::app
