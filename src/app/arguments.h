// Arguments and results of calls, between an app and the messages of the VMI socket.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "base/result.h"
#include "protocol/calls.h"
#include "vmi.pb.h"

namespace furnace::app {

/// An argument (a number, text or bytes, or left out) or a result.
using Processes = google::protobuf::RepeatedPtrField<wire::Process>;
using Argument = std::variant<uint64_t, std::string_view, std::monostate>;
using Value = std::variant<std::monostate, uint64_t, std::string, Processes, wire::DescribeStructureRet>;

/// Sets a request's field; the error names a field of another type.
[[nodiscard]] Status set_argument(google::protobuf::Message& message,
                                  const google::protobuf::FieldDescriptor& field, const Argument& argument);

/// The result in the answer to a call that succeeded.
[[nodiscard]] Value value_in(const protocol::Call& call, const google::protobuf::Message& answer);

/// For errors: "read_64_va(vaddr=0x1000, pid=1)".
[[nodiscard]] std::string describe(const protocol::Call& call, std::span<const Argument> arguments);

}  // namespace furnace::app
