#include "cli/call_stubs.h"

#include <fmt/format.h>

#include "base/enum_table.h"
#include "protocol/call_schema.h"
#include "protocol/calls.h"

namespace furnace::cli {
namespace {

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

/// `start`, which ends with "(", and the parameters, in lines of `widest` columns that begin below the first.
std::string with_parameters(std::string start, const std::vector<std::string>& parameters, size_t widest) {
  const std::string below(start.size(), ' ');
  size_t width = start.size();
  for (const std::string& parameter : parameters) {
    if (start.ends_with('(')) {
      // The first one is never moved.
    } else if (width + parameter.size() > widest) {
      start += ",\n" + below;
      width = below.size();
    } else {
      start += ", ";
    }
    start += parameter;
    width += parameter.size() + 2;
  }
  return start;
}

/// "def read_pa(paddr: int, count: int) -> bytes:" and its docstring.
std::string stub_of(const protocol::Call& call, const std::string& indent, std::string_view more) {
  constexpr size_t widest = 100, widest_line = 110;
  std::vector<std::string> parameters;
  for (const auto* field : protocol::schema_of(call).arguments)  // the first vCPU is meant by many
    parameters.push_back(
        fmt::format("{}: {}{}", field->name(), type_of(*field), field->name() == "vcpu" ? " = 0" : ""));
  const std::string text = with_parameters(fmt::format("{}def {}(", indent, call.name), parameters, widest);
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

constexpr EnumTable<protocol::AnswerKind, std::string_view> kCppValues({
    {protocol::AnswerKind::Status, ""},
    {protocol::AnswerKind::Number, "uint64_t"},
    {protocol::AnswerKind::Text, "std::string"},
    {protocol::AnswerKind::Bytes, "std::string"},
    {protocol::AnswerKind::Written, "uint64_t"},
    {protocol::AnswerKind::Processes, "std::vector<ProcessEntry>"},
    {protocol::AnswerKind::Identifier, ""},
    {protocol::AnswerKind::Structure, ""},
});

std::string cpp_parameter(const google::protobuf::FieldDescriptor& field) {
  const std::string& name = field.name();
  if (name == "vaddr") return "Gva vaddr";
  if (name == "paddr") return "Gpa paddr";
  if (name == "pid") return "Pid pid";
  if (name == "vcpu") return "uint64_t vcpu = 0";  // the first one is meant by many
  return fmt::format("{} {}", type_of(field) == "int" ? "uint64_t" : "std::string_view", name);
}

/// A function with its comment.
std::string cpp_function(const protocol::Call& call) {
  constexpr size_t widest = 107;
  std::vector<std::string> parameters{"Host& host"};
  std::string arguments = fmt::format("host, \"{}\"", call.name);
  for (const auto* field : protocol::schema_of(call).arguments) {
    parameters.push_back(cpp_parameter(*field));
    arguments += ", " + field->name();
  }
  const std::string_view value = kCppValues[call.answer];
  const std::string type = value.empty() ? "Status" : fmt::format("Result<{}>", value);
  const std::string result = value.empty() ? "status" : fmt::format("value<{}>", value);
  const std::string start =
      with_parameters(fmt::format("[[nodiscard]] inline {} {}(", type, call.name), parameters, widest);
  return fmt::format("/// {}\n{}) {{\n  return detail::{}(detail::call({}));\n}}\n", call.summary, start,
                     result, arguments);
}

}  // namespace

std::string calls_stubs() {
  std::string text = "# Printed by `furnace calls --stubs`:\n";
  for (const protocol::Call& call : protocol::calls())
    if (!is_of_events(call)) text += stub_of(call, "", "");
  text += "\nclass checked:\n    \"\"\"The same calls, which raise VmiError when they fail.\"\"\"\n\n";
  for (const protocol::Call& call : protocol::calls())
    text += "    @staticmethod\n" + stub_of(call, "    ", "Raises VmiError if it fails.");
  return text + "# The end of what `furnace calls --stubs` prints.\n";
}

std::string calls_header() {
  std::string text = "// Printed by `furnace calls --header`:\n";
  for (const protocol::Call& call : protocol::calls())
    if (!is_of_events(call) && call.answer != protocol::AnswerKind::Structure) text += cpp_function(call);
  return text + "// The end of what `furnace calls --header` prints.\n";
}

}  // namespace furnace::cli
