#include "launch/part.h"

namespace furnace::launch {
namespace {

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
  if (home.quota)
    part.arguments.insert(part.arguments.end(), {"--qt", fmt::format("_furnace_max_disk:{}", *home.quota)});
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
  if (manifest.wait_for_vm) part.arguments.insert(part.arguments.end(), {"--wait-for-vm", "0"});
  if (manifest.forensic) part.arguments.emplace_back("--forensic");
  if (manifest.raw_output) part.arguments.emplace_back("--raw-output");
  for (const std::string& file : manifest.files) part.arguments.insert(part.arguments.end(), {"--add", file});
  add_limits(part, manifest.app_limits);
  return part;
}

}  // namespace

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

}  // namespace furnace::launch
