#include "launch/part.h"

#include "launch/kind.h"

namespace furnace::launch {
namespace {

Part proxy_part(const Manifest& manifest) {
  const Manifest::Home& home = *manifest.home;
  Part part{"proxy", {}};
  if (home.blind) {
    part.arguments = {"--blind"};
  } else {
    part.arguments = {"--ak", manifest.directory / "app.key", "--bk", manifest.directory / "be.key"};
  }
  part.add({"--ip", home.proxy.ip, "--it", std::to_string(home.proxy.port), "--ep", home.backend->ip, "--et",
            std::to_string(home.backend->port)});
  return part;
}

}  // namespace

void Part::add(std::initializer_list<std::string> more) {
  arguments.insert(arguments.end(), more);
}

void Part::add(const Manifest::PartitionLimits& limits) {
  if (limits.cpu_percent) add({"--cpu", std::to_string(*limits.cpu_percent)});
  if (limits.processes) add({"--processes", std::to_string(*limits.processes)});
  if (limits.memory_mb) add({"--memory", std::to_string(*limits.memory_mb)});
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
  std::vector<Part> parts{vmi_kind().part(manifest)};
  if (manifest.home && manifest.home->backend) parts.push_back(proxy_part(manifest));
  if (manifest.home) parts.push_back(fac_kind().part(manifest));
  parts.push_back(app_kind().part(manifest));
  return parts;
}

}  // namespace furnace::launch
