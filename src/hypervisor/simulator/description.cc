#include "hypervisor/simulator/description.h"

#include <fmt/ranges.h>
#include <toml++/toml.h>

#include <algorithm>
#include <array>

#include "base/file.h"

namespace furnace::hypervisor {
namespace {

constexpr std::array<std::pair<std::string_view, Hostility>, 5> kHostilities{{
    {"cyclic_task_list", Hostility::CyclicTaskList},
    {"self_mapped_tables", Hostility::SelfMappedTables},
    {"wild_pointers", Hostility::WildPointers},
    {"huge_arrays", Hostility::HugeArrays},
    {"invalid_utf8", Hostility::InvalidUtf8},
}};

/// A table of the document: takes values out by name, and knows which names nobody took.
class Table {
 public:
  Table(const toml::table& table, std::string_view file) : table_(table), file_(file) {}

  template <typename T>
  Status take(std::string_view name, T& value) {
    const toml::node* node = find(name);
    return node == nullptr ? Status() : read(*node, name, value);
  }

  template <typename T>
  Status take_list(std::string_view name, std::vector<T>& values) {
    const toml::node* node = find(name);
    if (node == nullptr) return {};
    const toml::array* array = node->as_array();
    if (array == nullptr) return wrong(*node, name, "a list");
    for (const toml::node& element : *array) {
      T value{};
      FURNACE_CHECK(read(element, name, value));
      values.push_back(std::move(value));
    }
    return {};
  }

  /// A table, or a list of tables, each given to `each(Table&)`.
  template <typename Each>
  Status take_tables(std::string_view name, const Each& each) {
    const toml::node* node = find(name);
    if (node == nullptr) return {};
    if (const toml::table* one = node->as_table()) return whole(*one, each);
    const toml::array* array = node->as_array();
    if (array == nullptr) return wrong(*node, name, "a table, or a list of tables");
    for (const toml::node& element : *array) {
      const toml::table* table = element.as_table();
      if (table == nullptr) return wrong(element, name, "a table");
      FURNACE_CHECK(whole(*table, each));
    }
    return {};
  }

  [[nodiscard]] bool has(std::string_view name) const { return table_.contains(name); }
  [[nodiscard]] tl::unexpected<Error> invalid(std::string_view text) const {
    return at(table_.source(), text);
  }

  /// Fails for a name that was not taken: most likely it is misspelt.
  Status finish() const {
    for (const auto& [key, value] : table_)
      if (!taken_.contains(key.str()))
        return at(value.source(),
                  fmt::format("unknown key '{}'; known here are {}", key.str(), fmt::join(taken_, ", ")));
    return {};
  }

 private:
  const toml::node* find(std::string_view name) {
    taken_.emplace(name);
    return table_.get(name);
  }

  template <typename Each>
  Status whole(const toml::table& table, const Each& each) {
    Table inner(table, file_);
    FURNACE_CHECK(each(inner));
    return inner.finish();
  }

  [[nodiscard]] tl::unexpected<Error> at(const toml::source_region& where, std::string_view text) const {
    return fail(Errc::Invalid, "{}:{}: {}", file_, where.begin.line, text);
  }
  [[nodiscard]] tl::unexpected<Error> wrong(const toml::node& node, std::string_view name,
                                            std::string_view expected) const {
    return at(node.source(), fmt::format("'{}': expected {}", name, expected));
  }

  Status read(const toml::node& node, std::string_view name, std::string& value) const {
    const auto text = node.value<std::string>();
    if (!text) return wrong(node, name, "text");
    value = *text;
    return {};
  }
  Status read(const toml::node& node, std::string_view name, bool& value) const {
    const auto flag = node.value_exact<bool>();
    if (!flag) return wrong(node, name, "true or false");
    value = *flag;
    return {};
  }
  Status read(const toml::node& node, std::string_view name, double& value) const {
    const auto number = node.value<double>();
    if (!number || !(*number >= 0)) return wrong(node, name, "seconds, 0 or more");
    value = *number;
    return {};
  }
  // TOML's integers have a sign and 64 bits; kernel addresses are written as text: "0xffffffff81000000".
  Status read(const toml::node& node, std::string_view name, uint64_t& value) const {
    if (const auto number = node.value_exact<int64_t>()) {
      value = static_cast<uint64_t>(*number);
      return {};
    }
    const auto text = node.value_exact<std::string>();
    char* end = nullptr;
    if (text) value = std::strtoull(text->c_str(), &end, 0);
    if (end == nullptr || *end != '\0' || text->empty()) return wrong(node, name, "a whole number");
    return {};
  }
  template <typename Number>
  Status read(const toml::node& node, std::string_view name, Number& value) const {
    const auto number = node.value_exact<int64_t>();
    if (!number || *number < std::numeric_limits<Number>::min() ||
        *number > std::numeric_limits<Number>::max())
      return wrong(node, name,
                   fmt::format("a whole number from {} to {}", std::numeric_limits<Number>::min(),
                               std::numeric_limits<Number>::max()));
    value = static_cast<Number>(*number);
    return {};
  }

  const toml::table& table_;
  std::string_view file_;
  std::set<std::string, std::less<>> taken_;
};

Status read_socket(Table& table, SimulatedSocket& socket) {
  FURNACE_CHECK(table.take("protocol", socket.protocol));
  FURNACE_CHECK(table.take("local", socket.local));
  FURNACE_CHECK(table.take("remote", socket.remote));
  FURNACE_CHECK(table.take("state", socket.state));
  if (socket.protocol != "tcp" && socket.protocol != "udp")
    return table.invalid("'protocol': expected tcp or udp");
  return {};
}

Status read_task(Table& table, SimulatedTask& task) {
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
      "sockets", [&](Table& inner) { return read_socket(inner, task.sockets.emplace_back()); }));
  if (task.pid <= 0) return table.invalid("a task needs a 'pid' above 0");
  task.command_line = fmt::format("{}", fmt::join(arguments, std::string(1, '\0')));
  return {};
}

Status read_module(Table& table, SimulatedModule& module) {
  FURNACE_CHECK(table.take("name", module.name));
  return table.take("size", module.size);
}

Status read_symbol(Table& table, SimulatedSymbol& symbol) {
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

Status read_times(Table& table, TimelineEntry& entry) {
  FURNACE_CHECK(table.take("at", entry.at));
  FURNACE_CHECK(table.take("every", entry.every));
  FURNACE_CHECK(table.take("count", entry.count));
  constexpr double shortest = 0.0001;
  if (entry.count != 1 && entry.every < shortest)
    return table.invalid(fmt::format("'count' needs 'every', {} seconds or more", shortest));
  return {};
}

Status read_change(Table& table, TimelineEntry& entry) {
  FURNACE_CHECK(read_times(table, entry));
  int found = 0;
  const auto put = [&](Change change) {
    entry.what = std::move(change);
    ++found;
  };
  FURNACE_CHECK(table.take_tables("start", [&](Table& inner) {
    StartTask start;
    const Status read = read_task(inner, start.task);
    put(start);
    return read;
  }));
  FURNACE_CHECK(table.take_tables("load", [&](Table& inner) {
    LoadModule load;
    const Status read = read_module(inner, load.module);
    put(load);
    return read;
  }));
  FURNACE_CHECK(table.take_tables("write", [&](Table& inner) -> Status {
    WriteSymbol write{};
    FURNACE_CHECK(inner.take("symbol", write.symbol));
    FURNACE_CHECK(inner.take("value", write.value));
    put(write);
    return {};
  }));
  FURNACE_CHECK(table.take_tables("hook", [&](Table& inner) -> Status {
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

Status read_event(Table& table, TimelineEntry& entry) {
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
  constexpr std::array kinds = {"syscall", "cr3", "int", "mem", "credentials"};
  if (std::find(kinds.begin(), kinds.end(), event.kind) == kinds.end())
    return table.invalid("'kind': expected syscall, cr3, int, mem or credentials");
  entry.what = std::move(event);
  return {};
}

Status read_guest(Table& table, SimulatedGuest& guest) {
  std::vector<std::string> hostile;
  FURNACE_CHECK(table.take("name", guest.name));
  FURNACE_CHECK(table.take("seed", guest.seed));
  FURNACE_CHECK(table.take("memory_mb", guest.memory_mb));
  FURNACE_CHECK(table.take("levels", guest.levels));
  FURNACE_CHECK(table.take("vcpus", guest.vcpus));
  FURNACE_CHECK(table.take("kaslr", guest.kaslr));
  FURNACE_CHECK(table.take("banner", guest.banner));
  FURNACE_CHECK(table.take_list("hostile", hostile));
  FURNACE_CHECK(
      table.take_tables("task", [&](Table& inner) { return read_task(inner, guest.tasks.emplace_back()); }));
  FURNACE_CHECK(table.take_tables(
      "module", [&](Table& inner) { return read_module(inner, guest.modules.emplace_back()); }));
  FURNACE_CHECK(table.take_tables(
      "symbol", [&](Table& inner) { return read_symbol(inner, guest.symbols.emplace_back()); }));
  FURNACE_CHECK(table.take_tables(
      "change", [&](Table& inner) { return read_change(inner, guest.timeline.emplace_back()); }));
  FURNACE_CHECK(table.take_tables(
      "event", [&](Table& inner) { return read_event(inner, guest.timeline.emplace_back()); }));
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

Result<toml::table> parse_toml(std::string_view text, std::string_view file_name) {
  try {
    return toml::parse(text, file_name);
  } catch (const toml::parse_error& error) {  // Debian builds the library with exceptions
    return fail(Errc::Invalid, "{}:{}: {}", file_name, error.source().begin.line, error.description());
  }
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
  Table table(document, file_name);
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
  guest.symbols = {{"furnace_variable", uint64_t{0x1122334455667788}}};
  return guest;
}

}  // namespace furnace::hypervisor
