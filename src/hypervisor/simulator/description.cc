#include "hypervisor/simulator/description.h"

#include <fmt/ranges.h>
#include <toml++/toml.h>

#include <algorithm>
#include <array>

#include "base/file.h"
#include "base/toml_table.h"

namespace furnace::hypervisor {
namespace {

constexpr std::array<std::pair<std::string_view, Hostility>, 5> kHostilities{{
    {"cyclic_task_list", Hostility::CyclicTaskList},
    {"self_mapped_tables", Hostility::SelfMappedTables},
    {"wild_pointers", Hostility::WildPointers},
    {"huge_arrays", Hostility::HugeArrays},
    {"invalid_utf8", Hostility::InvalidUtf8},
}};

Status read_socket(TomlTable& table, SimulatedSocket& socket) {
  FURNACE_CHECK(table.take("protocol", socket.protocol));
  FURNACE_CHECK(table.take("local", socket.local));
  FURNACE_CHECK(table.take("remote", socket.remote));
  FURNACE_CHECK(table.take("state", socket.state));
  if (socket.protocol != "tcp" && socket.protocol != "udp")
    return table.invalid("'protocol': expected tcp or udp");
  return {};
}

Status read_task(TomlTable& table, SimulatedTask& task) {
  std::vector<std::string> arguments;
  FURNACE_CHECK(table.take("pid", task.pid));
  FURNACE_CHECK(table.take("parent", task.ppid));
  FURNACE_CHECK(table.take("uid", task.uid));
  FURNACE_CHECK(table.take("name", task.name));
  FURNACE_CHECK(table.take("kernel_thread", task.kernel_thread));
  FURNACE_CHECK(table.take_list("args", arguments));
  FURNACE_CHECK(table.take("executable", task.executable));
  FURNACE_CHECK(table.take_list("files", task.files));
  FURNACE_CHECK(table.take("hidden", task.hidden));
  FURNACE_CHECK(table.take_tables(
      "sockets", [&](TomlTable& inner) { return read_socket(inner, task.sockets.emplace_back()); }));
  if (task.pid <= 0) return table.invalid("a task needs a 'pid' above 0");
  task.command_line = fmt::format("{}", fmt::join(arguments, std::string(1, '\0')));
  return {};
}

Status read_module(TomlTable& table, SimulatedModule& module) {
  FURNACE_CHECK(table.take("name", module.name));
  return table.take("size", module.size);
}

Status read_symbol(TomlTable& table, SimulatedSymbol& symbol) {
  FURNACE_CHECK(table.take("name", symbol.name));
  if (symbol.name.empty()) return table.invalid("a symbol needs a 'name'");
  if (table.has("text")) {
    std::string text;
    FURNACE_CHECK(table.take("text", text));
    symbol.value = text;
    return {};
  }
  uint64_t value = 0;
  FURNACE_CHECK(table.take("value", value));
  symbol.value = value;
  return {};
}

Status read_times(TomlTable& table, TimelineEntry& entry) {
  FURNACE_CHECK(table.take("at", entry.at));
  FURNACE_CHECK(table.take("every", entry.every));
  FURNACE_CHECK(table.take("count", entry.count));
  constexpr double shortest = 0.0001;
  if (entry.count != 1 && entry.every < shortest)
    return table.invalid(fmt::format("'count' needs 'every', {} seconds or more", shortest));
  return {};
}

Status read_change(TomlTable& table, TimelineEntry& entry) {
  FURNACE_CHECK(read_times(table, entry));
  int found = 0;
  const auto put = [&](Change change) {
    entry.what = std::move(change);
    ++found;
  };
  FURNACE_CHECK(table.take_tables("start", [&](TomlTable& inner) {
    StartTask start;
    const Status read = read_task(inner, start.task);
    put(start);
    return read;
  }));
  FURNACE_CHECK(table.take_tables("load", [&](TomlTable& inner) {
    LoadModule load;
    const Status read = read_module(inner, load.module);
    put(load);
    return read;
  }));
  FURNACE_CHECK(table.take_tables("write", [&](TomlTable& inner) -> Status {
    WriteSymbol write{};
    FURNACE_CHECK(inner.take("symbol", write.symbol));
    FURNACE_CHECK(inner.take("value", write.value));
    put(write);
    return {};
  }));
  FURNACE_CHECK(table.take_tables("hook", [&](TomlTable& inner) -> Status {
    HookSyscall hook{};
    FURNACE_CHECK(inner.take("syscall", hook.number));
    FURNACE_CHECK(inner.take("symbol", hook.symbol));
    put(hook);
    return {};
  }));
  int32_t pid = 0;
  std::string name;
  bool reset = false;
  if (table.has("exit")) put(ExitTask{0});
  FURNACE_CHECK(table.take("exit", pid));
  if (table.has("hide")) put(HideTask{0});
  FURNACE_CHECK(table.take("hide", pid));
  if (table.has("unload")) put(UnloadModule{});
  FURNACE_CHECK(table.take("unload", name));
  if (table.has("patch")) put(PatchText{});
  FURNACE_CHECK(table.take("patch", name));
  if (table.has("reset")) put(Reset{});
  FURNACE_CHECK(table.take("reset", reset));
  if (found != 1)
    return table.invalid("a change needs one of start, exit, hide, load, unload, write, patch, hook, reset");
  Change& change = std::get<Change>(entry.what);
  if (auto* exit = std::get_if<ExitTask>(&change)) exit->pid = pid;
  if (auto* hide = std::get_if<HideTask>(&change)) hide->pid = pid;
  if (auto* unload = std::get_if<UnloadModule>(&change)) unload->name = name;
  if (auto* patch = std::get_if<PatchText>(&change)) patch->symbol = name;
  return {};
}

Status read_event(TomlTable& table, TimelineEntry& entry) {
  FURNACE_CHECK(read_times(table, entry));
  ScriptedEvent event;
  FURNACE_CHECK(table.take("kind", event.kind));
  FURNACE_CHECK(table.take("pid", event.pid));
  FURNACE_CHECK(table.take("vcpu", event.vcpu));
  FURNACE_CHECK(table.take("number", event.number));
  FURNACE_CHECK(table.take_list("arguments", event.arguments));
  FURNACE_CHECK(table.take("symbol", event.symbol));
  FURNACE_CHECK(table.take("address", event.address));
  FURNACE_CHECK(table.take("value", event.value));
  FURNACE_CHECK(table.take("returns", event.returns));
  FURNACE_CHECK(table.take("result", event.result));
  constexpr std::array kinds = {"syscall", "cr3", "int", "mem", "request", "credentials"};
  if (std::find(kinds.begin(), kinds.end(), event.kind) == kinds.end())
    return table.invalid("'kind': expected syscall, cr3, int, mem, request or credentials");
  entry.what = std::move(event);
  return {};
}

Status read_guest(TomlTable& table, SimulatedGuest& guest) {
  std::vector<std::string> hostile;
  FURNACE_CHECK(table.take("name", guest.name));
  FURNACE_CHECK(table.take("seed", guest.seed));
  FURNACE_CHECK(table.take("memory_mb", guest.memory_mb));
  FURNACE_CHECK(table.take("levels", guest.levels));
  FURNACE_CHECK(table.take("vcpus", guest.vcpus));
  FURNACE_CHECK(table.take("kaslr", guest.kaslr));
  FURNACE_CHECK(table.take("banner", guest.banner));
  FURNACE_CHECK(table.take_list("hostile", hostile));
  FURNACE_CHECK(table.take_tables(
      "task", [&](TomlTable& inner) { return read_task(inner, guest.tasks.emplace_back()); }));
  FURNACE_CHECK(table.take_tables(
      "module", [&](TomlTable& inner) { return read_module(inner, guest.modules.emplace_back()); }));
  FURNACE_CHECK(table.take_tables(
      "symbol", [&](TomlTable& inner) { return read_symbol(inner, guest.symbols.emplace_back()); }));
  FURNACE_CHECK(table.take_tables(
      "change", [&](TomlTable& inner) { return read_change(inner, guest.timeline.emplace_back()); }));
  FURNACE_CHECK(table.take_tables(
      "event", [&](TomlTable& inner) { return read_event(inner, guest.timeline.emplace_back()); }));
  constexpr uint64_t least_mb = 32, most_mb = 1024;
  if (guest.memory_mb < least_mb || guest.memory_mb > most_mb)
    return table.invalid("'memory_mb': expected 32 to 1024");
  if (guest.levels != 4 && guest.levels != 5) return table.invalid("'levels': expected 4 or 5");
  constexpr size_t longest_banner = 500;
  if (guest.banner.size() > longest_banner)
    return table.invalid(fmt::format("'banner': expected at most {} characters", longest_banner));
  if (guest.vcpus < 1 || guest.vcpus > 64) return table.invalid("'vcpus': expected 1 to 64");
  for (const std::string& name : hostile) {
    const auto known = std::find_if(kHostilities.begin(), kHostilities.end(),
                                    [&](const auto& each) { return each.first == name; });
    if (known == kHostilities.end()) return table.invalid(fmt::format("'hostile': no '{}'", name));
    guest.hostile.insert(known->second);
  }
  return {};
}

}  // namespace

std::string_view hostility_name(Hostility hostility) {
  for (const auto& [name, value] : kHostilities)
    if (value == hostility) return name;
  return "?";
}

Result<SimulatedGuest> parse_guest(std::string_view text, std::string_view file_name) {
  FURNACE_TRY(const toml::table document, parse_toml(text, file_name));
  SimulatedGuest guest;
  TomlTable table(document, file_name);
  FURNACE_CHECK(read_guest(table, guest));
  FURNACE_CHECK(table.finish());
  if (guest.tasks.empty()) guest.tasks = default_guest().tasks;
  return guest;
}

Result<SimulatedGuest> load_guest(const std::filesystem::path& file) {
  constexpr size_t limit = 16 << 20;
  FURNACE_TRY(const std::string text, read_file(file, limit));
  return parse_guest(text, file.string());
}

SimulatedGuest default_guest() {
  using namespace std::string_literals;
  const auto thread = [](int32_t pid, std::string name) {
    SimulatedTask task;
    task.pid = pid;
    task.ppid = pid == 2 ? 0 : 2;
    task.name = std::move(name);
    task.kernel_thread = true;
    return task;
  };
  const auto process = [](int32_t pid, int32_t ppid, uint32_t uid, std::string name,
                          std::string command_line) {
    SimulatedTask task;
    task.pid = pid;
    task.ppid = ppid;
    task.uid = uid;
    task.executable = "/usr/bin/" + name;
    task.name = std::move(name);
    task.command_line = std::move(command_line);
    task.files = {"/dev/null", "/dev/console"};
    return task;
  };
  SimulatedGuest guest;
  guest.tasks = {process(1, 0, 0, "init", "/sbin/init\0splash"s),
                 thread(2, "kthreadd"),
                 thread(3, "rcu_gp"),
                 thread(14, "ksoftirqd/0"),
                 process(211, 1, 0, "sshd", "/usr/sbin/sshd\0-D"s),
                 process(305, 1, 33, "nginx", "nginx: worker process"),
                 process(306, 211, 1000, "bash", "-bash"),
                 process(307, 306, 1000, "vim", "vim\0notes.txt"s)};
  guest.tasks[4].sockets = {{"tcp", "0.0.0.0:22", "0.0.0.0:0", "listen"}};
  guest.tasks[5].sockets = {{"tcp", "10.0.0.5:443", "10.0.0.9:40122", "established"}};
  guest.tasks[7].files.emplace_back("/home/user/notes.txt");
  guest.modules = {{"ext4", 811008}, {"virtio_net", 61440}};
  constexpr uint64_t five_minutes_before_the_lower_half_wraps = 0xfffb6c20;  // INITIAL_JIFFIES of 250 Hz
  guest.symbols = {{"jiffies", five_minutes_before_the_lower_half_wraps},
                   {"furnace_variable", uint64_t{0x1122334455667788}}};
  return guest;
}

}  // namespace furnace::hypervisor
