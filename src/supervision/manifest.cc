#include "supervision/manifest.h"

#include <charconv>

#include "base/directories.h"
#include "base/file.h"
#include "base/toml_table.h"
#include "hypervisor/attach.h"
#include "protocol/framing.h"
#include "vmi/permissions.h"

namespace furnace::supervision {
namespace {

namespace fs = std::filesystem;

Status read_address(TomlTable& table, std::string_view key, Address& address) {
  std::string text;
  FURNACE_CHECK(table.take(key, text));
  const size_t colon = text.rfind(':');
  const char* const last = text.data() + text.size();
  const auto [end, error] =
      std::from_chars(text.data() + std::min(colon, text.size() - 1) + 1, last, address.port);
  // The proxy's publisher has the next port.
  if (colon == std::string::npos || colon == 0 || error != std::errc() || end != last || address.port == 0 ||
      address.port == UINT16_MAX)
    return table.invalid(fmt::format("'{}': expected \"IP:PORT\", with a port from 1 to 65534", key));
  address.ip = text.substr(0, colon);
  return {};
}

Status read_limits(TomlTable& table, Manifest::PartitionLimits& limits) {
  const auto take = [&table]<typename Number>(std::string_view key, std::optional<Number>& limit) -> Status {
    if (!table.has(key)) {
      Number ignored = 0;
      return table.take(key, ignored);  // so that it is known
    }
    FURNACE_CHECK(table.take(key, limit.emplace()));
    return *limit > 0 ? Status() : Status(table.invalid(fmt::format("'{}': expected more than 0", key)));
  };
  FURNACE_CHECK(take("cpu_percent", limits.cpu_percent));
  FURNACE_CHECK(take("processes", limits.processes));
  return take("memory_mb", limits.memory_mb);
}

/// A file's name, as the manifest's directory has it.
std::string beside(const Manifest& manifest, const std::string& name) {
  return name.empty() || fs::path(name).is_absolute() ? name : (manifest.directory / name).string();
}

Status read_vm(TomlTable& table, Manifest& manifest) {
  Manifest::Vmi& vm = manifest.vm;
  std::string directory;
  FURNACE_CHECK(table.take("name", vm.name));
  FURNACE_CHECK(table.take("driver", vm.driver));
  FURNACE_CHECK(table.take("profile", vm.profile));
  FURNACE_CHECK(table.take("sockets", directory));
  FURNACE_CHECK(table.take("calls_per_second", vm.calls_per_second));
  FURNACE_CHECK(table.take_list("forbid", vm.forbid));
  if (vm.name.empty()) return table.invalid("a VM needs its 'name'");
  if (std::find(hypervisor::kDrivers.begin(), hypervisor::kDrivers.end(), vm.driver) ==
      hypervisor::kDrivers.end())
    return table.invalid(fmt::format("'driver': expected one of {}", fmt::join(hypervisor::kDrivers, ", ")));
  for (const std::string& each : vm.forbid)
    if (const auto known = vmi::Forbidden::parse({each}); !known || each.find('=') != std::string::npos)
      return table.invalid(fmt::format("'forbid': '{}' is none of write, pause, events", each));
  // A description or a snapshot lies beside the manifest.
  if (std::error_code ignored; fs::exists(manifest.directory / vm.name, ignored))
    vm.name = beside(manifest, vm.name);
  vm.profile = beside(manifest, vm.profile);
  vm.directory =
      directory.empty() ? manifest.directory / "vmi_socket" : fs::path(beside(manifest, directory));
  return {};
}

Status read_home(TomlTable& table, Manifest::Home& home) {
  FURNACE_CHECK(read_address(table, "proxy", home.proxy));
  if (table.has("backend")) {
    FURNACE_CHECK(read_address(table, "backend", home.backend.emplace()));
  } else {
    std::string none;
    FURNACE_CHECK(table.take("backend", none));
  }
  FURNACE_CHECK(table.take("blind", home.blind));
  return table.take("quota", home.quota);
}

Status read_app(TomlTable& table, Manifest& manifest) {
  std::string code = "app", restart = "on-failure";
  std::vector<std::string> files;
  FURNACE_CHECK(table.take("code", code));
  FURNACE_CHECK(table.take("class", manifest.class_name));
  FURNACE_CHECK(table.take("metadata", manifest.metadata));
  FURNACE_CHECK(table.take_list("files", files));
  FURNACE_CHECK(table.take("forensic", manifest.forensic));
  FURNACE_CHECK(table.take("restart", restart));
  constexpr std::array<std::pair<std::string_view, Restart>, 3> words{
      {{"on-failure", Restart::OnFailure}, {"always", Restart::Always}, {"never", Restart::Never}}};
  const auto* const word =
      std::find_if(words.begin(), words.end(), [&](const auto& each) { return each.first == restart; });
  if (word == words.end()) return table.invalid("'restart': expected on-failure, always or never");
  manifest.restart = word->second;
  manifest.code = beside(manifest, code);
  for (const std::string& file : files) manifest.files.push_back(beside(manifest, file));
  return {};
}

Status read_all(TomlTable& table, Manifest& manifest) {
  FURNACE_CHECK(read_app(table, manifest));
  bool has_vm = false;
  FURNACE_CHECK(table.take_tables("vm", [&](TomlTable& inner) {
    has_vm = true;
    return read_vm(inner, manifest);
  }));
  if (!has_vm) return table.invalid("it needs a table [vm] with the 'name' of a VM");
  FURNACE_CHECK(table.take_tables("home", [&](TomlTable& inner) {
    return read_home(inner, (manifest.home = Manifest::Home{}).value());
  }));
  return table.take_tables("limits", [&](TomlTable& inner) -> Status {
    for (const auto& [name, limits] :
         {std::pair("app", &manifest.app_limits), std::pair("fac", &manifest.fac_limits),
          std::pair("vmi", &manifest.vmi_limits)})
      FURNACE_CHECK(inner.take_tables(
          name, [&, target = limits](TomlTable& one) { return read_limits(one, *target); }));
    return {};
  });
}

void add_limits(Part& part, const Manifest::PartitionLimits& limits) {
  const auto add = [&part](const char* option, const auto& limit) {
    if (limit) part.arguments.insert(part.arguments.end(), {option, std::to_string(*limit)});
  };
  add("--cpu", limits.cpu_percent);
  add("--processes", limits.processes);
  add("--memory", limits.memory_mb);
}

Part vmi_part(const Manifest& manifest) {
  const Manifest::Vmi& vm = manifest.vm;
  Part part{"vmi", {vm.name, "--driver", vm.driver, "--vmi", vm.directory}};
  auto& arguments = part.arguments;
  if (!vm.profile.empty()) arguments.insert(arguments.end(), {"--profile", vm.profile});
  if (vm.calls_per_second != 0)
    arguments.insert(arguments.end(), {"--calls-per-second", std::to_string(vm.calls_per_second)});
  for (const std::string& each : vm.forbid)
    arguments.insert(arguments.end(), {"--forbid", fmt::format("{}={}", manifest.app, each)});
  add_limits(part, manifest.vmi_limits);
  return part;
}

Part proxy_part(const Manifest& manifest) {
  const Manifest::Home& home = *manifest.home;
  Part part{"proxy", {}};
  if (home.blind) {
    part.arguments = {"--blind"};
  } else {
    part.arguments = {"--ak", manifest.directory / "app.key", "--bk", manifest.directory / "be.key"};
  }
  part.arguments.insert(part.arguments.end(),
                        {"--ip", home.proxy.ip, "--it", std::to_string(home.proxy.port), "--ep",
                         home.backend->ip, "--et", std::to_string(home.backend->port)});
  return part;
}

Part fac_part(const Manifest& manifest) {
  const Manifest::Home& home = *manifest.home;
  Part part{"fac",
            {"--u2", manifest.app, "--kp", manifest.directory, "--ip", home.proxy.ip, "--it",
             std::to_string(home.proxy.port), "--fac", manifest.directory / "fac_socket", "--storage",
             manifest.directory / "storage"}};
  if (home.quota != 0)
    part.arguments.insert(part.arguments.end(), {"--qt", fmt::format("_furnace_max_disk:{}", home.quota)});
  if (home.blind) part.arguments.emplace_back("--blind");
  add_limits(part, manifest.fac_limits);
  return part;
}

Part app_part(const Manifest& manifest) {
  Part part{"app",
            {"--code", manifest.code, "-m", manifest.class_name, "--u2", manifest.app, "--md",
             manifest.metadata, "--vmi", manifest.vm.directory}};
  if (manifest.home)
    part.arguments.insert(part.arguments.end(), {"--fac", manifest.directory / "fac_socket"});
  if (manifest.forensic) part.arguments.emplace_back("--forensic");
  for (const std::string& file : manifest.files) part.arguments.insert(part.arguments.end(), {"--add", file});
  add_limits(part, manifest.app_limits);
  return part;
}

}  // namespace

Result<Manifest> parse_manifest(std::string_view text, const fs::path& file, const std::string& app) {
  FURNACE_CHECK(protocol::check_app_id(app));
  const std::string name = file.string();
  FURNACE_TRY(const toml::table document, parse_toml(text, name));
  Manifest manifest;
  manifest.app = app;
  manifest.directory = fs::absolute(file).lexically_normal().parent_path();
  TomlTable table(document, name);
  FURNACE_CHECK(read_all(table, manifest));
  FURNACE_CHECK(table.finish());
  return manifest;
}

Result<Manifest> load_manifest(const fs::path& file, const std::string& app) {
  constexpr size_t limit = 1 << 20;
  FURNACE_TRY(const std::string text, read_file(file, limit));
  return parse_manifest(text, file, app);
}

fs::path manifest_of(const std::string& app) {
  return furnace_directory() / "app_storage/tenant_data" / app / "furnace.toml";
}

std::string to_text(const Part& part) {
  std::string text = "furnace " + part.name;
  for (const std::string& word : part.arguments) {
    const bool plain =
        !word.empty() && word.find_first_of(" \t\n\"'$`\\*?(){}[]<>|&;~#") == std::string::npos;
    text += ' ';
    if (plain) {
      text += word;
      continue;
    }
    text += '\'';
    for (const char c : word) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
    text += '\'';
  }
  return text;
}

std::vector<Part> parts_of(const Manifest& manifest) {
  std::vector<Part> parts{vmi_part(manifest)};
  if (manifest.home && manifest.home->backend) parts.push_back(proxy_part(manifest));
  if (manifest.home) parts.push_back(fac_part(manifest));
  parts.push_back(app_part(manifest));
  return parts;
}

}  // namespace furnace::supervision
