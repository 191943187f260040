#include "hypervisor/qemu/process.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/printable.h"
#include "base/text.h"
#include "hypervisor/qemu/trust.h"

namespace furnace::hypervisor {
namespace {

/// Options of one argument, "a=1,b=2": the first part may lack its key, and ",," means a comma.
/// JSON arguments, as libvirt writes them, give their top-level strings.
std::map<std::string, std::string, std::less<>> options_of(const std::string& argument,
                                                           const std::string& first_key) {
  std::map<std::string, std::string, std::less<>> options;
  if (argument.starts_with('{')) {
    const auto object = nlohmann::json::parse(argument, nullptr, false);
    if (object.is_object())
      for (const auto& [key, value] : object.items())
        options[key] = value.is_string() ? value.get<std::string>() : value.dump();
    return options;
  }
  std::vector<std::string> parts(1);
  for (size_t i = 0; i < argument.size(); ++i) {
    if (argument[i] != ',') {
      parts.back() += argument[i];
    } else if (i + 1 < argument.size() && argument[i + 1] == ',') {
      parts.back() += argument[++i];
    } else {
      parts.emplace_back();
    }
  }
  for (size_t i = 0; i < parts.size(); ++i) {
    const size_t equals = parts[i].find('=');
    if (equals != std::string::npos) {
      options[parts[i].substr(0, equals)] = parts[i].substr(equals + 1);
    } else {
      options[i == 0 ? first_key : parts[i]] = i == 0 ? parts[i] : "on";
    }
  }
  return options;
}

std::string get(const std::map<std::string, std::string, std::less<>>& options, std::string_view key) {
  const auto found = options.find(key);
  return found != options.end() ? found->second : std::string();
}

/// The path of a socket argument: "unix:PATH,server=on" as -qmp takes it.
std::optional<std::string> unix_path(const std::string& argument) {
  const auto options = options_of(argument, "address");
  const std::string address = get(options, "address");
  if (!address.starts_with("unix:")) return std::nullopt;
  return address.substr(5);
}

}  // namespace

std::optional<QemuProcess> parse_qemu_command_line(pid_t pid, const std::vector<std::string>& arguments) {
  if (arguments.empty()) return std::nullopt;
  const std::string program = std::filesystem::path(arguments[0]).filename();
  if (!program.starts_with("qemu-system-") && program != "qemu-kvm" && program != "kvm") return std::nullopt;

  QemuProcess process;
  process.pid = pid;
  process.arguments = arguments;
  std::map<std::string, std::string> chardevs;  // id -> path of a UNIX socket, empty if it has none
  std::vector<std::string> monitors;            // chardev ids in control mode
  for (size_t i = 1; i + 1 < arguments.size(); ++i) {
    std::string option = arguments[i];
    if (option.starts_with("--")) option.erase(0, 1);
    const std::string& value = arguments[i + 1];
    if (option == "-name") {
      const auto options = options_of(value, "guest");
      process.name = get(options, "guest");
    } else if (option == "-qmp" || option == "-qmp-pretty") {
      if (auto path = unix_path(value)) process.qmp_sockets.emplace_back(*path);
    } else if (option == "-chardev") {
      const auto options = options_of(value, "backend");
      if (get(options, "backend") == "socket") chardevs[get(options, "id")] = get(options, "path");
    } else if (option == "-mon") {
      const auto options = options_of(value, "chardev");
      if (get(options, "mode") == "control") monitors.push_back(get(options, "chardev"));
    }
  }
  bool libvirt = false;
  for (const std::string& id : monitors) {
    const auto chardev = chardevs.find(id);
    // libvirt names its own monitor "charmonitor" and holds the connection for as long as the VM lives.
    if (id == "charmonitor") {
      libvirt = true;
    } else if (chardev != chardevs.end() && !chardev->second.empty()) {
      process.qmp_sockets.emplace_back(chardev->second);
    }
  }
  process.libvirt_only = libvirt && process.qmp_sockets.empty();
  return process;
}

std::vector<QemuProcess> list_qemu_processes(std::vector<std::pair<QemuProcess, Error>>* refused) {
  std::vector<QemuProcess> found;
  std::error_code ignored;  // a process that ends while we look is none of ours
  for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
    const auto pid = parse_number<pid_t>(entry.path().filename().native());
    if (!pid) continue;
    const auto text = read_file(entry.path() / "cmdline", 1 << 20);
    if (!text) continue;
    std::vector<std::string> arguments;
    for (const std::string_view argument : items(*text, '\0')) arguments.emplace_back(argument);
    if (auto process = parse_qemu_command_line(*pid, arguments)) {
      if (const auto trusted = check_trusted(*pid); !trusted) {
        if (refused != nullptr) refused->emplace_back(*std::move(process), trusted.error());
        continue;
      }
      // A relative socket path is relative to where QEMU was started.
      const auto cwd = std::filesystem::read_symlink(entry.path() / "cwd", ignored);
      for (auto& socket : process->qmp_sockets)
        if (socket.is_relative() && !cwd.empty()) socket = cwd / socket;
      found.push_back(*std::move(process));
    }
  }
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.pid < b.pid; });
  return found;
}

Result<QemuProcess> find_qemu_process(const std::string& name) {
  std::vector<std::pair<QemuProcess, Error>> refused;
  std::vector<QemuProcess> all = list_qemu_processes(&refused);
  std::string names;
  for (const QemuProcess& process : all)
    if (!process.name.empty()) names += (names.empty() ? "" : ", ") + printable(process.name);
  std::erase_if(all, [&](const QemuProcess& process) { return process.name != name; });
  if (all.size() > 1)
    return fail(Errc::Invalid, "{} running QEMUs have -name {} (pids {} and {}): give them different names",
                all.size(), name, all[0].pid, all[1].pid);
  if (!all.empty()) return std::move(all[0]);
  for (const auto& [process, why] : refused)
    if (process.name == name)
      return fail(why.code(), "process {} calls itself QEMU '{}', but {}", process.pid, name, why.message());
  return fail(Errc::NotFound, "no running QEMU with -name {}{}", name,
              names.empty() ? " (no named QEMU runs here)" : fmt::format(" (running: {})", names));
}

}  // namespace furnace::hypervisor
