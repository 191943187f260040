#include "cli/ps.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "base/bytes.h"
#include "base/json_text.h"
#include "base/log.h"
#include "base/printable.h"
#include "cli/walls.h"
#include "launch/reading.h"

namespace furnace::cli {
namespace {

using guest::Process;
using reader::Record;
using reader::RecordKind;

constexpr size_t kNameWidth = 18, kFileWidth = 24;

/// As ps shows them: kernel threads in brackets. A program can't look like one by its name.
std::string shown_name(const Process& process) {
  if (process.kernel_thread) return "[" + process.name + "]";
  return process.name.starts_with('[') ? "\\" + process.name : process.name;
}

/// Numbers that could not be read are question marks.
std::string numbers_of(const Process& process) {
  const auto shown = [&](uint8_t part, int64_t number) {
    return (process.unread & part) != 0 ? "?" : std::to_string(number);
  };
  return fmt::format("{:>7} {:>7} {:>6} {}", process.pid, shown(guest::kParentUnread, process.ppid),
                     shown(guest::kUserUnread, process.uid), process.state);
}

/// What could not be read, and why.
std::string problem_of(const Process& process) {
  constexpr std::array names = {
      std::pair(guest::kParentUnread, "parent"), std::pair(guest::kUserUnread, "user"),
      std::pair(guest::kMemoryUnread, "memory"), std::pair(guest::kOthersUnread, "other parts")};
  std::string text;
  for (const auto& [part, name] : names)
    if ((process.unread & part) != 0) text += (text.empty() ? "" : ", ") + std::string(name);
  return text + (process.problem.empty() ? " unknown" : " unknown: " + process.problem);
}

ListedProcess listed_process(Record record) {
  const auto& numbers = record.numbers;
  ListedProcess listed;
  listed.process.task = guest::Gva{numbers[0]};
  listed.process.pid = static_cast<int32_t>(numbers[1]);
  listed.process.ppid = static_cast<int32_t>(numbers[2]);
  listed.process.uid = static_cast<uint32_t>(numbers[3]);
  listed.process.kernel_thread = numbers[4] != 0;
  listed.process.state = numbers[6] > ' ' && numbers[6] < 0x7f ? static_cast<char>(numbers[6]) : '?';
  listed.process.name = valid_utf8(record.texts[0]);
  listed.process.unread = static_cast<uint8_t>(numbers[5] >> reader::kUnreadShift);
  listed.process.problem = valid_utf8(record.texts[3]);
  if ((numbers[5] & reader::kHasExecutable) != 0) listed.executable = std::move(record.texts[1]);
  if ((numbers[5] & reader::kHasCommandLine) != 0) listed.command_line = std::move(record.texts[2]);
  return listed;
}

void add_branch(const std::multimap<int32_t, const Process*>& children, const Process& process,
                const std::string& indent, bool last, std::set<int32_t>& shown, std::string& text) {
  if (!shown.insert(process.pid).second) return;  // a guest may claim any parents, circles too
  text += fmt::format("{}{}{} {}\n", indent,
                      indent.empty() && last ? ""
                      : last                 ? "└─"
                                             : "├─",
                      process.pid, printable(shown_name(process)));
  const auto [first, end] = children.equal_range(process.pid);
  for (auto child = first; child != end; ++child)
    add_branch(children, *child->second, indent + (last ? "  " : "│ "), std::next(child) == end, shown, text);
}

}  // namespace

std::string format_table(const std::vector<Process>& processes) {
  std::string text =
      fmt::format("{:>7} {:>7} {:>6} S {:<{}} {:<18}\n", "PID", "PPID", "UID", "NAME", kNameWidth, "TASK");
  for (const Process& process : processes)
    text += fmt::format("{} {} {:#x}\n", numbers_of(process), padded(shown_name(process), kNameWidth),
                        process.task.value);
  return text;
}

std::string format_tree(const std::vector<Process>& processes) {
  std::multimap<int32_t, const Process*> children;
  std::set<int32_t> pids;
  for (const Process& process : processes) pids.insert(process.pid);
  for (const Process& process : processes) children.emplace(process.ppid, &process);
  std::set<int32_t> shown;
  std::string text;
  for (const Process& process : processes)
    if (!pids.contains(process.ppid) || process.ppid == process.pid)
      add_branch(children, process, "", true, shown, text);
  for (const Process& process : processes) add_branch(children, process, "", true, shown, text);
  return text;
}

std::string format_json(const std::vector<Process>& processes) {
  auto array = nlohmann::ordered_json::array();
  for (const Process& process : processes) {
    array.push_back({{"pid", process.pid},
                     {"ppid", process.ppid},
                     {"uid", process.uid},
                     {"name", process.name},
                     {"kernel_thread", process.kernel_thread},
                     {"state", std::string(1, process.state)},
                     {"task", process.task.value}});
    if (process.unread == 0) continue;
    array.back()["problem"] = problem_of(process);
    if ((process.unread & guest::kParentUnread) != 0) array.back()["ppid"] = nullptr;
    if ((process.unread & guest::kUserUnread) != 0) array.back()["uid"] = nullptr;
  }
  return json_text(array, 2) + "\n";
}

std::string format_long(const std::vector<ListedProcess>& processes) {
  std::string text = fmt::format("{:>7} {:>7} {:>6} S {:<{}} {:<{}} {}\n", "PID", "PPID", "UID", "NAME",
                                 kNameWidth, "EXECUTABLE", kFileWidth, "COMMAND");
  for (const auto& [process, executable, command_line] : processes)
    text += fmt::format("{} {} {} {}\n", numbers_of(process), padded(shown_name(process), kNameWidth),
                        padded(executable.value_or("?"), kFileWidth), printable(command_line.value_or("?")));
  return text;
}

namespace {

struct PsOptions {
  std::string vm;
  bool json = false, tree = false, details = false;
  bool unconfined = false;  ///< without the walls around what looks into the guest
};

Status print_processes(const PsOptions& options) {
  launch::Reading reading("processes", {RecordKind::Process, RecordKind::Gap}, options.unconfined);
  FURNACE_CHECK(reading.add_vm(options.vm));
  if (options.details) reading.add_arguments({"--details"});
  std::vector<ListedProcess> listed;
  std::string gap;
  FURNACE_CHECK(reading.run([&](Record record) -> Status {
    if (record.kind == RecordKind::Gap) return gap = printable(record.texts[0]), Status();
    listed.push_back(listed_process(std::move(record)));
    return {};
  }));
  std::vector<Process> processes;
  for (const ListedProcess& each : listed) processes.push_back(each.process);
  const std::string text = options.details ? format_long(listed)
                           : options.json  ? format_json(processes)
                           : options.tree  ? format_tree(processes)
                                           : format_table(processes);
  std::fwrite(text.data(), 1, text.size(), stdout);
  for (const Process& each : processes)
    if (each.unread != 0) log::warning("pid {}: {}", each.pid, printable(problem_of(each)));
  if (!gap.empty()) log::warning("processes may be missing: {}", gap);
  return {};
}

}  // namespace

void add_ps(Commands& commands) {
  auto* ps = commands.add("ps", "List the processes of a VM, seen from outside");
  const auto options = std::make_shared<PsOptions>();
  ps->add_option("VM", options->vm, "The VM's name (QEMU's -name), or a snapshot file")->required();
  auto* json = ps->add_flag("--json", options->json, "Print a JSON array");
  auto* tree = ps->add_flag("--tree", options->tree, "Print a tree")->excludes(json);
  ps->add_flag("--long", options->details, "Print executable and command line too")
      ->excludes(json)
      ->excludes(tree);
  add_unconfined(ps, options->unconfined);
  commands.on(ps, [options] { return print_processes(*options); });
}

}  // namespace furnace::cli
