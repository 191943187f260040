#include "base/directories.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

namespace furnace {
namespace {

std::filesystem::path variable(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): no thread changes it
  return value != nullptr ? value : "";
}

/// A user's directory that is still in the environment of who became root (su, sudo -E) is not root's.
std::filesystem::path own_variable(const char* name) {
  auto value = variable(name);
  struct stat status {};
  if (::stat(value.c_str(), &status) == 0 && status.st_uid != ::geteuid()) value.clear();
  return value;
}

}  // namespace

std::filesystem::path cache_directory() {
  if (auto own = variable("FURNACE_CACHE"); !own.empty()) return own;
  if (const auto cache = own_variable("XDG_CACHE_HOME"); !cache.empty()) return cache / "furnace";
  if (const auto home = own_variable("HOME"); !home.empty()) return home / ".cache/furnace";
  return "/var/cache/furnace";
}

std::filesystem::path run_directory() {
  if (auto own = variable("FURNACE_RUN"); !own.empty()) return own;
  if (const auto user = own_variable("XDG_RUNTIME_DIR"); !user.empty()) return user / "furnace";
  if (::geteuid() == 0) return "/run/furnace";
  return fmt::format("/tmp/furnace-{}", ::geteuid());
}

Result<Directory> make_run_directory(std::string_view below) {
  constexpr unsigned for_its_owner = 0700;
  auto made = Directory::make(run_directory(), Care::Content, for_its_owner);
  if (made && !below.empty()) made = made->open_directory(std::string(below), for_its_owner);
  if (!made) return fail(made.error(), "run directory ($FURNACE_RUN)");
  return made;
}

std::filesystem::path furnace_directory() {
  auto own = variable("FURNACE_DIR");
  return own.empty() ? "/opt/furnace" : own;
}

std::filesystem::path program_directory() {
  std::error_code ignored;
  return std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path();
}

std::filesystem::path installed_directory(std::string_view name) {
  std::error_code ignored;
  const auto programs = program_directory();
  const auto prefix = programs.empty() ? "/usr" : programs.parent_path();  // a partition has them in /usr/bin
  if (std::filesystem::exists(prefix / name, ignored)) return prefix / name;
  return prefix / "lib/furnace" / name;
}

}  // namespace furnace
