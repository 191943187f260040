#include "cli/calls.h"

#include <fmt/format.h>

#include <cstdio>

#include "cli/call_stubs.h"
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
      "`calls::NAME(host, arguments)` of `furnace/calls.h`. The test of a call is `test_call[NAME]` in\n"
      "`tests/e2e/test_calls.py`. It runs on a live guest; the calls of events are tested on the\n"
      "simulator.\n\n"
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

}  // namespace

void add_calls(Commands& commands) {
  struct Options {
    bool markdown = false, stubs = false, header = false;
  };
  auto* calls = commands.add("calls", "List the calls of the VMI socket");
  const auto options = std::make_shared<Options>();
  auto* markdown = calls->add_flag("--markdown", options->markdown, "Print docs/calls.md");
  auto* stubs = calls->add_flag("--stubs", options->stubs, "Print the calls of python/furnace_frontend.pyi");
  auto* header = calls->add_flag("--header", options->header, "Print the calls of include/furnace/calls.h");
  stubs->excludes(markdown);
  header->excludes(markdown)->excludes(stubs);
  commands.on(calls, [options] {
    const std::string text = options->markdown ? calls_markdown()
                             : options->stubs  ? calls_stubs()
                             : options->header ? calls_header()
                                               : calls_text();
    std::fputs(text.c_str(), stdout);
    return Status();
  });
}

}  // namespace furnace::cli
