#include "cli/calls.h"

#include <fmt/format.h>

#include <algorithm>

#include "protocol/calls.h"
#include "vmi.pb.h"

namespace furnace::cli {
namespace {

std::string comma_separated(std::string_view words) {
  std::string text(words);
  for (size_t at = 0; (at = text.find(' ', at)) != std::string::npos; at += 2) text.replace(at, 1, ", ");
  return text;
}

/// "number name type" of each field of a message, as they are on the wire.
std::string wire_fields(const google::protobuf::Descriptor& message) {
  std::string text;
  for (int i = 0; i < message.field_count(); ++i) {
    const auto& field = *message.field(i);
    const std::string type = field.message_type() != nullptr ? field.message_type()->name()
                             : field.enum_type() != nullptr  ? field.enum_type()->name()
                                                             : field.type_name();
    text += fmt::format("{}{} {} {}{}", i == 0 ? "" : "; ", field.number(), field.name(), type,
                        field.is_repeated() ? "*" : "");
  }
  return text.empty() ? "-" : text;
}

}  // namespace

std::string calls_text() {
  std::string text;
  for (const protocol::Call& call : protocol::calls())
    text += fmt::format("{}({})\n    {}\n", call.name, comma_separated(call.arguments), call.summary);
  return text;
}

std::string calls_markdown() {
  const auto& message = *wire::VmiMessage::descriptor();
  std::string text =
      "# The calls of the VMI socket\n\n"
      "Made by `furnace calls --markdown` from the table in src/protocol/calls.cc. Python: "
      "`fe.NAME(arguments)`, and "
      "`fe.checked.NAME`,\nwhich raises. C++: `host.call(\"NAME\", ...)`. Fields are those of the wire, by "
      "their numbers; "
      "`*` is repeated. The test of a row is\n`test_call[NAME]` in tests/e2e/test_calls.py, against a live "
      "guest; events "
      "are tested on the simulator.\n\n"
      "| call | arguments | what it does | since | number | request | answer | test "
      "|\n|---|---|---|---|---|---|---|---|\n";
  for (const protocol::Call& call : protocol::calls())
    text +=
        fmt::format("| {} | {} | {} | {} | {} | {} | {} | test_call[{}] |\n", call.name,
                    comma_separated(call.arguments), call.summary, call.since(), call.number,
                    wire_fields(*message.FindFieldByNumber(call.number)->message_type()),
                    wire_fields(*message.FindFieldByNumber(call.answer_number())->message_type()), call.name);
  return text;
}

}  // namespace furnace::cli
