#include "cli/ps.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/json_text.h"
#include "base/printable.h"
#include "hypervisor/attach.h"
#include "vmi/machine.h"
#include "vmi/profile_store.h"

namespace furnace::cli {
namespace {

using guest::Process;

constexpr size_t kNameWidth = 18, kFileWidth = 24;

/// As ps shows them: kernel threads in brackets.
std::string shown_name(const Process& process) {
  return process.kernel_thread ? "[" + process.name + "]" : process.name;
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
      fmt::format("{:>7} {:>7} {:>6} {:<{}} {:<18}\n", "PID", "PPID", "UID", "NAME", kNameWidth, "TASK");
  for (const Process& process : processes)
    text += fmt::format("{:>7} {:>7} {:>6} {} {:#x}\n", process.pid, process.ppid, process.uid,
                        padded(shown_name(process), kNameWidth), process.task.value);
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
  for (const Process& process : processes)
    array.push_back({{"pid", process.pid},
                     {"ppid", process.ppid},
                     {"uid", process.uid},
                     {"name", process.name},
                     {"kernel_thread", process.kernel_thread},
                     {"task", process.task.value}});
  return json_text(array, 2) + "\n";
}

/// Executable and command line come from the processes' own memory; what is swapped out or gone is shown as
/// '?'.
std::string format_long(const guest::LinuxGuest& linux_guest, const std::vector<Process>& processes) {
  std::string text = fmt::format("{:>7} {:>7} {:>6} {:<{}} {:<{}} {}\n", "PID", "PPID", "UID", "NAME",
                                 kNameWidth, "EXECUTABLE", kFileWidth, "COMMAND");
  for (const Process& process : processes)
    text += fmt::format("{:>7} {:>7} {:>6} {} {} {}\n", process.pid, process.ppid, process.uid,
                        padded(shown_name(process), kNameWidth),
                        padded(linux_guest.executable(process).value_or("?"), kFileWidth),
                        printable(linux_guest.command_line(process).value_or("?")));
  return text;
}

Status print_processes(const std::string& vm, PsFormat format) {
  FURNACE_TRY(auto driver, hypervisor::attach(vm));
  vmi::ProfileStore profiles(vmi::ProfileStore::default_directory());
  vmi::Machine machine(std::move(driver), &profiles);
  FURNACE_TRY(const guest::LinuxGuest* linux_guest, machine.linux_guest());
  FURNACE_TRY(const auto processes, linux_guest->processes());
  std::string text;
  switch (format) {
    case PsFormat::Table:
      text = format_table(processes);
      break;
    case PsFormat::Tree:
      text = format_tree(processes);
      break;
    case PsFormat::Json:
      text = format_json(processes);
      break;
    case PsFormat::Long:
      text = format_long(*linux_guest, processes);
      break;
  }
  std::fwrite(text.data(), 1, text.size(), stdout);
  return {};
}

}  // namespace furnace::cli
