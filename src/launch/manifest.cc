#include "launch/manifest.h"

#include <arpa/inet.h>

#include "base/directories.h"
#include "base/file.h"
#include "base/text.h"
#include "base/toml_table.h"
#include "hypervisor/drivers.h"
#include "protocol/framing.h"
#include "vmi/calls/permissions.h"

namespace furnace::launch {
namespace {

namespace fs = std::filesystem;

constexpr Bounds kStartBurst{1, 1000, "starts"}, kStartInterval{0, 86'400, "s (0: no limit)"};

/// "IP:PORT"; the IP of IPv6 in brackets.
bool parse_address(const std::string& text, Address& address) {
  auto endpoint = parse_endpoint("address", text, bounds::kPairOfPorts);
  if (!endpoint) return false;
  address = {std::move(endpoint->host), endpoint->port};
  return true;
}

bool is_ip(std::string_view ip) {
  in6_addr ignored{};
  const std::string host(without_brackets(ip));
  return ::inet_pton(host.size() == ip.size() ? AF_INET : AF_INET6, host.c_str(), &ignored) == 1;
}

Status read_address(TomlTable& table, std::string_view key, Address& address) {
  std::string text;
  FURNACE_CHECK(table.take(key, text));
  if (parse_address(text, address)) return {};
  return table.invalid(
      fmt::format("'{}' is '{}': expected \"IP:PORT\", with a port from {} (the next one is used too)", key,
                  text, to_text(bounds::kPairOfPorts)));
}

void read_limits(TomlTable& table, Manifest::PartitionLimits& limits, Problems& problems) {
  problems.add(table.take("cpu_percent", limits.cpu_percent, bounds::kCpuPercent));
  problems.add(table.take("processes", limits.processes, bounds::kProcesses));
  problems.add(table.take("memory_mb", limits.memory_mb, bounds::kMemoryMb));
}

/// A file's name, as the manifest's directory has it.
std::string beside(const Manifest& manifest, const std::string& name) {
  return name.empty() || fs::path(name).is_absolute() ? name : (manifest.directory / name).string();
}

/// One of a list of words.
template <typename Words>
Status check_word(const TomlTable& table, std::string_view key, std::string_view word, const Words& words) {
  if (std::find(words.begin(), words.end(), word) != words.end()) return {};
  return table.invalid(fmt::format("'{}' is '{}': expected one of {}", key, word, fmt::join(words, ", ")));
}

void read_vm(TomlTable& table, Manifest& manifest, Problems& problems) {
  Manifest::Vmi& vm = manifest.vm;
  std::string directory = "vmi_socket";
  problems.add(table.take("name", vm.name));
  problems.add(table.take("driver", vm.driver));
  problems.add(table.take("profile", vm.profile));
  problems.add(table.take("sockets", directory));
  problems.add(table.take("calls_per_second", vm.calls_per_second, bounds::kPerSecond));
  problems.add(table.take_list("forbid", vm.forbid));
  if (vm.name.empty()) problems.add(table.invalid("a VM needs its 'name'"));
  problems.add(check_word(table, "driver", vm.driver, hypervisor::driver_names()));
  for (const std::string& each : vm.forbid)
    if (const auto known = vmi::Forbidden::parse({each}); !known || each.find('=') != std::string::npos)
      problems.add(table.invalid(fmt::format("'forbid': '{}' is none of write, pause, events", each)));
  // A description or a snapshot is beside the manifest.
  if (std::error_code ignored; fs::exists(manifest.directory / vm.name, ignored))
    vm.name = beside(manifest, vm.name);
  vm.profile = beside(manifest, vm.profile);
  vm.directory = beside(manifest, directory);
}

void read_home(TomlTable& table, Manifest::Home& home, Problems& problems) {
  problems.add(read_address(table, "proxy", home.proxy));
  if (!home.proxy.ip.empty() && !is_ip(home.proxy.ip))
    problems.add(table.invalid(fmt::format("'proxy': '{}' is no IP address", home.proxy.ip)));
  if (table.has("backend")) problems.add(read_address(table, "backend", home.backend.emplace()));
  problems.add(table.take("blind", home.blind));
  problems.add(table.take("quota", home.quota, bounds::kBytes));
  // Each has a pair of ports.
  if (home.backend && home.backend->ip == home.proxy.ip && !home.proxy.ip.empty() &&
      std::abs(home.backend->port - home.proxy.port) <= 1)
    problems.add(table.invalid(
        fmt::format("'proxy' and 'backend' both use port {} of {} (each uses its port and the next)",
                    std::max(home.proxy.port, home.backend->port), home.proxy.ip)));
}

void read_app(TomlTable& table, Manifest& manifest, Problems& problems) {
  std::string code = "app", restart = "on-failure";
  std::vector<std::string> files;
  problems.add(table.take("code", code));
  problems.add(table.take("class", manifest.class_name));
  problems.add(table.take("metadata", manifest.metadata));
  problems.add(table.take_list("files", files));
  problems.add(table.take("forensic", manifest.forensic));
  problems.add(table.take("raw_output", manifest.raw_output));
  problems.add(table.take("restart", restart));
  problems.add(table.take("start_limit_burst", manifest.start_limit.burst, kStartBurst));
  problems.add(
      table.take("start_limit_interval_seconds", manifest.start_limit.interval_seconds, kStartInterval));
  problems.add(table.take("wait_for_vm", manifest.wait_for_vm));
  constexpr std::array<std::string_view, 3> words{"on-failure", "always", "never"};  // as in Restart
  problems.add(check_word(table, "restart", restart, words));
  manifest.restart = static_cast<Restart>(std::find(words.begin(), words.end(), restart) - words.begin());
  manifest.code = beside(manifest, code);
  for (const std::string& file : files) manifest.files.push_back(beside(manifest, file));
}

void read_all(TomlTable& table, Manifest& manifest, Problems& problems) {
  const auto each = [&problems](auto& target, auto read) {
    return [&problems, &target, read](TomlTable& inner) -> Status {
      read(inner, target, problems);
      return {};
    };
  };
  read_app(table, manifest, problems);
  if (!table.has("vm")) problems.add(table.invalid("it needs a table [vm] with the 'name' of a VM"));
  problems.add(table.take_tables("vm", each(manifest, read_vm)));
  if (table.has("home")) problems.add(table.take_tables("home", each(manifest.home.emplace(), read_home)));
  problems.add(table.take_tables("limits", [&](TomlTable& inner) -> Status {
    for (const auto& [name, limits] :
         {std::pair("app", &manifest.app_limits), std::pair("fac", &manifest.fac_limits),
          std::pair("vmi", &manifest.vmi_limits)})
      problems.add(inner.take_tables(name, each(*limits, read_limits)));
    return {};
  }));
  problems.add(table.finish());
}

}  // namespace

std::optional<Manifest> read_manifest(std::string_view text, const fs::path& file, const std::string& app,
                                      Problems& problems) {
  const std::string name = file.string();
  const auto document = parse_toml(text, name);
  if (!document) {
    problems.add(document.error().message());
    return std::nullopt;
  }
  Manifest manifest;
  manifest.app = app;
  manifest.directory = fs::absolute(file).lexically_normal().parent_path();
  problems.add(protocol::check_app_id(app));
  TomlTable table(*document, name);
  read_all(table, manifest, problems);
  return manifest;
}

std::optional<Manifest> load_manifest(const fs::path& file, const std::string& app, Problems& problems) {
  constexpr size_t limit = 1 << 20;
  const auto text = read_file(file, limit);
  if (text) return read_manifest(*text, file, app, problems);
  problems.add(text.error().message());
  return std::nullopt;
}

fs::path manifest_of(const std::string& app) {
  return furnace_directory() / "app_storage/tenant_data" / app / "furnace.toml";
}

}  // namespace furnace::launch
