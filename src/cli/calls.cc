#include "cli/calls.h"

#include <fmt/format.h>

#include <cstdio>

#include "base/enum_table.h"
#include "protocol/call_schema.h"
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
      "`furnace calls --markdown` prints this document from the table in `src/protocol/calls.cc`. In\n"
      "Python a call is `fe.NAME(arguments)`; `fe.checked.NAME` raises if it fails. In C++ it is\n"
      "`host.call(\"NAME\", ...)`. The test of a call is `test_call[NAME]` in `tests/e2e/test_calls.py`. It\n"
      "runs on a live guest; the calls of events are tested on the simulator.\n\n"
      "An operator can forbid what a call needs (`--forbid`).\n\n"
      "| call | arguments | what it does | needs | since | number |\n|---|---|---|---|---|---|\n";
  for (const protocol::Call& call : protocol::calls())
    text += fmt::format("| {} | {} | {} | {} | {} | {} |\n", call.name, comma_separated(call.arguments),
                        call.summary, protocol::word_of(call.needs), call.since(), call.number);
  text +=
      "\n## Fields on the wire\n\n"
      "Each field has its number, its name and its type. `*` marks a repeated field.\n\n"
      "| call | request | answer |\n|---|---|---|\n";
  for (const protocol::Call& call : protocol::calls())
    text += fmt::format("| {} | {} | {} |\n", call.name,
                        wire_fields(*message.FindFieldByNumber(call.number)->message_type()),
                        wire_fields(*message.FindFieldByNumber(call.answer_number())->message_type()));
  return text;
}

std::string_view type_of(const google::protobuf::FieldDescriptor& field) {
  using Field = google::protobuf::FieldDescriptor;
  if (field.cpp_type() != Field::CPPTYPE_STRING) return "int";
  return field.type() == Field::TYPE_BYTES ? "str | bytes" : "str";
}

constexpr EnumTable<protocol::AnswerKind, std::string_view> kReturnTypes({
    {protocol::AnswerKind::Status, "int"},
    {protocol::AnswerKind::Number, "int"},
    {protocol::AnswerKind::Text, "str"},
    {protocol::AnswerKind::Bytes, "bytes"},
    {protocol::AnswerKind::Written, "int"},
    {protocol::AnswerKind::Processes, "dict[int, ProcessEntry]"},
    {protocol::AnswerKind::Identifier, "int"},
    {protocol::AnswerKind::Structure, "dict[str, Any]"},
});

/// "def read_pa(paddr: int, count: int) -> bytes:" and its docstring.
std::string stub_of(const protocol::Call& call, const std::string& indent, std::string_view more) {
  constexpr size_t widest = 100, widest_line = 110;
  std::string text = fmt::format("{}def {}(", indent, call.name);
  const std::string below = std::string(text.size(), ' ');
  size_t width = text.size();
  for (const auto* field : protocol::schema_of(call).arguments) {
    // The first vCPU is meant by many.
    std::string argument =
        fmt::format("{}: {}{}", field->name(), type_of(*field), field->name() == "vcpu" ? " = 0" : "");
    const bool is_first = text.ends_with('(');
    if (!is_first && width + argument.size() > widest) {
      text += ",\n" + below;
      width = below.size();
    } else if (!is_first) {
      text += ", ";
    }
    text += argument;
    width += argument.size() + 2;
  }
  const std::string start = fmt::format("{}    \"\"\"{}", indent, call.summary);
  const std::string gap = more.empty()                                                   ? ""
                          : start.size() + more.size() + sizeof " \"\"\"" <= widest_line ? " "
                                                                                         : "\n    " + indent;
  return fmt::format("{}) -> {}:\n{}{}{}\"\"\"\n", text, kReturnTypes[call.answer], start, gap, more);
}

/// In Python they have another form: furnace_events.py.
bool is_of_events(const protocol::Call& call) {
  using protocol::Verb;
  return call.verb == Verb::EventRegister || call.verb == Verb::EventClear ||
         call.verb == Verb::StartSyscall || call.verb == Verb::StopSyscall;
}

std::string calls_stubs() {
  std::string text = "# Printed by `furnace calls --stubs`:\n";
  for (const protocol::Call& call : protocol::calls())
    if (!is_of_events(call)) text += stub_of(call, "", "");
  text += "\nclass checked:\n    \"\"\"The same calls, which raise VmiError when they fail.\"\"\"\n\n";
  for (const protocol::Call& call : protocol::calls())
    text += "    @staticmethod\n" + stub_of(call, "    ", "Raises VmiError if it fails.");
  return text + "# The end of what `furnace calls --stubs` prints.\n";
}

}  // namespace

void add_calls(Commands& commands) {
  struct Options {
    bool markdown = false, stubs = false;
  };
  auto* calls = commands.add("calls", "List the calls of the VMI socket");
  const auto options = std::make_shared<Options>();
  auto* markdown = calls->add_flag("--markdown", options->markdown, "Print docs/calls.md");
  calls->add_flag("--stubs", options->stubs, "Print the calls of python/furnace_frontend.pyi")
      ->excludes(markdown);
  commands.on(calls, [options] {
    const std::string text = options->markdown ? calls_markdown()
                             : options->stubs  ? calls_stubs()
                                               : calls_text();
    std::fputs(text.c_str(), stdout);
    return Status();
  });
}

}  // namespace furnace::cli
