#include "base/directories.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>

namespace furnace {
namespace {

std::filesystem::path variable(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): nobody changes it
  return value != nullptr ? value : "";
}

}  // namespace

std::filesystem::path cache_directory() {
  if (auto own = variable("FURNACE_CACHE"); !own.empty()) return own;
  if (const auto cache = variable("XDG_CACHE_HOME"); !cache.empty()) return cache / "furnace";
  if (const auto home = variable("HOME"); !home.empty()) return home / ".cache/furnace";
  return "/var/cache/furnace";
}

std::filesystem::path run_directory() {
  if (auto own = variable("FURNACE_RUN"); !own.empty()) return own;
  if (const auto user = variable("XDG_RUNTIME_DIR"); !user.empty()) return user / "furnace";
  if (::geteuid() == 0) return "/run/furnace";
  return fmt::format("/tmp/furnace-{}", ::geteuid());
}

std::filesystem::path furnace_directory() {
  auto own = variable("FURNACE_DIR");
  return own.empty() ? "/opt/furnace" : own;
}

std::filesystem::path installed_directory(std::string_view name) {
  std::error_code ignored;
  // Where /proc is not seen we are in a partition, whose programs lie in /usr/bin.
  const auto program = std::filesystem::read_symlink("/proc/self/exe", ignored);
  const auto prefix = program.empty() ? "/usr" : program.parent_path().parent_path();
  if (std::filesystem::exists(prefix / name, ignored)) return prefix / name;
  return prefix / "lib/furnace" / name;
}

}  // namespace furnace
