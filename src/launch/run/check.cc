#include "launch/run/check.h"

#include <fcntl.h>
#include <unistd.h>

#include <set>

#include "base/directory.h"
#include "base/file.h"
#include "base/log.h"
#include "base/shared_object.h"
#include "launch/run/python_class.h"
#include "launch/run/vm_presence.h"
#include "protocol/certificate.h"
#include "sandbox/state.h"

namespace furnace::launch {
namespace {

namespace fs = std::filesystem;

Status check_readable(std::string_view key, const fs::path& file) {
  const auto opened = open_file(file, O_RDONLY);
  if (!opened) return fail(opened.error(), fmt::format("'{}'", key));
  std::error_code error;
  if (!fs::is_regular_file(file, error))
    return fail(Errc::Invalid, "'{}': {}: not a regular file", key, file.string());
  return {};
}

/// The function that makes the app is one of its symbols. It isn't loaded to look: that would run it.
Status check_shared_object(const fs::path& file) {
  constexpr size_t limit = 256 << 20;
  FURNACE_TRY(const std::string content, read_file(file, limit));
  if (!content.starts_with("\x7f"
                           "ELF"))
    return fail(Errc::Invalid, "'code': {}: not a shared object", file.string());
  if (content.find("furnace_app_make") == std::string::npos)
    return fail(Errc::Invalid, "'code': {}: exports no furnace_app_make (FURNACE_APP in its last line)",
                file.string());
  return {};
}

Status check_code(const Manifest& manifest) {
  const auto native = shared_object_for(manifest.code);
  const fs::path file = native ? *native : fs::path(manifest.code.string() + ".py");
  std::error_code ignored;
  if (!native && !fs::exists(fs::symlink_status(file, ignored)))
    return fail(Errc::NotFound, "'code': neither {0}.py nor {0}.so exists", manifest.code.string());
  FURNACE_CHECK(check_readable("code", file));
  return native ? check_shared_object(file) : check_python_class(file, manifest.class_name);
}

/// All of them lie in one directory of the partition, whatever theirs are on the host.
void check_more_files(const Manifest& manifest, Problems& problems) {
  std::set<fs::path> names{manifest.code.filename().concat(".py")};
  for (const fs::path file : manifest.files) {
    problems.add(check_readable("files", file));
    if (!names.insert(file.filename()).second)
      problems.add(fmt::format("'files': two files have the name {}", file.filename().string()));
  }
  if (!manifest.vm.profile.empty()) problems.add(check_readable("profile", manifest.vm.profile));
}

Status check_app_key(const Manifest& manifest) {
  const fs::path file = manifest.directory / "app.key";
  FURNACE_TRY(const protocol::Certificate key, protocol::load_secret(file));
  return protocol::check_owner(key, manifest.app, file.string());
}

void check_keys(const Manifest& manifest, Problems& problems) {
  const Manifest::Home& home = *manifest.home;
  const auto add = [&problems](const Result<protocol::Certificate>& key) {
    if (!key) problems.add(key.error().message());
  };
  problems.add(check_app_key(manifest));
  add(protocol::load_public(manifest.directory / "be.pub"));
  if (home.backend && !home.blind) add(protocol::load_secret(manifest.directory / "be.key"));
}

/// Whether it can be written to, or can be made.
Status check_writable(const fs::path& directory) {
  std::error_code error;
  fs::path there = directory;
  while (!fs::exists(there, error) && there.has_relative_path()) there = there.parent_path();
  if (!fs::is_directory(there, error)) return fail(Errc::Invalid, "{}: not a directory", there.string());
  FURNACE_CHECK(Directory::open(there, there == directory ? Care::Content : Care::Names));
  if (::faccessat(AT_FDCWD, there.c_str(), W_OK | X_OK, AT_EACCESS) != 0)
    return there == directory ? fail_errno("{}: can't be written to", directory.string())
                              : fail_errno("{}: can't be made in {}", directory.string(), there.string());
  return {};
}

void check_directories(const Manifest& manifest, Problems& problems) {
  std::set<fs::path> directories{manifest.directory, manifest.directory / "crashes", manifest.vm.directory};
  if (manifest.home) directories.insert({manifest.directory / "fac_socket", manifest.directory / "storage"});
  for (const fs::path& directory : directories) problems.add(check_writable(directory));
}

/// Two apps of one id would get each other's answers.
Status check_app_id_is_free(const Manifest& manifest) {
  FURNACE_TRY(const Directory directory, Directory::open(manifest.directory, Care::Content));
  const bool runs_already = directory.has("run.lock") && !directory.lock("run.lock");
  if (runs_already) return {};
  for (const sandbox::PartitionState& state : sandbox::running_partitions())
    if (state.name == "app " + manifest.app)
      return fail(Errc::Invalid, "app id '{}' is in use: `furnace app` with process id {} runs under it",
                  manifest.app, state.launcher);
  return {};
}

}  // namespace

void check_files(const Manifest& manifest, Problems& problems) {
  problems.add(check_code(manifest));
  check_more_files(manifest, problems);
  if (manifest.home) check_keys(manifest, problems);
  check_directories(manifest, problems);
}

void check_surroundings(const Manifest& manifest, Problems& problems) {
  problems.add(check_app_id_is_free(manifest));
  if (manifest.vm.name.empty()) return;
  const Status there = check_vm(manifest.vm);
  if (!there && manifest.wait_for_vm) {
    log::warning("{}; `furnace run` will wait for it", there.error().message());
  } else {
    problems.add(there);
  }
}

}  // namespace furnace::launch
