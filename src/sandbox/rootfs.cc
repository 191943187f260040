#include "sandbox/rootfs.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "base/command.h"
#include "base/directories.h"
#include "base/file.h"
#include "base/signals.h"
#include "base/text.h"
#include "sandbox/python_library.h"
#include "sandbox/root_builder.h"

namespace furnace::sandbox {
namespace {

namespace fs = std::filesystem;

constexpr std::array kDirectories = {"opt/furnace/app",
                                     "opt/furnace/fac_socket",
                                     "opt/furnace/vmi_socket",
                                     "opt/furnace/shared",
                                     "opt/furnace/storage",
                                     "opt/furnace/keys",
                                     places::kKernels + 1,
                                     "etc",
                                     "usr/lib64",
                                     "dev"};

Status add_python(RootBuilder& builder, const fs::path& root, std::string_view modules) {
  std::error_code error;
  const fs::path ours = fs::canonical(installed_directory("python"), error);
  if (error)
    return fail(Errc::NotFound, "{}: {}: Furnace's Python modules must be there",
                installed_directory("python").string(), error.message());
  FURNACE_TRY(const PythonLibrary library,
              collect_python_library(root / "usr/lib/python.zip", ours, modules));
  const std::string zip = "usr/lib/" + library.zip_name;
  fs::rename(root / "usr/lib/python.zip", root / zip, error);
  if (error) return fail(Errc::Failed, "{}: {}", zip, error.message());
  FURNACE_CHECK(builder.account(zip, {}));
  for (const fs::path& source : library.sources)
    FURNACE_CHECK(builder.account_part(fmt::format("{}!{}", zip, source.string()), source));
  // Python takes the directory for the sign of its prefix.
  FURNACE_CHECK(builder.make_directory(fmt::format("usr/lib/{}/lib-dynload", library.directory)));
  return builder.copy_with_libraries(library.extensions);
}

Result<std::string> fill(const RootKind& kind, const fs::path& root) {
  RootBuilder builder(root);
  for (const char* directory : kDirectories) FURNACE_CHECK(builder.make_directory(directory));
  for (const char* link : {"lib", "lib64"})
    FURNACE_CHECK(builder.make_link(link, fmt::format("usr/{}", link)));
  const fs::path program = program_directory() / kind.program;
  FURNACE_CHECK(builder.copy(program, fmt::format("usr/bin/{}", kind.program), 0755));
  FURNACE_CHECK(builder.copy(program_directory() / "furnace-enter", kEnter + 1, 0755));
  FURNACE_CHECK(builder.copy_libraries_of({program}));
  if (kind.python) FURNACE_CHECK(add_python(builder, root, kind.modules));
  // Without its cache the loader would look for each library in many places.
  FURNACE_TRY(const std::string ignored, run({"/sbin/ldconfig", "-X", "-r", root.string()}));
  std::error_code error;
  fs::remove_all(root / "var", error);
  FURNACE_CHECK(builder.account("etc/ld.so.cache", {}));
  FURNACE_TRY(const std::string manifest, builder.manifest());
  FURNACE_CHECK(write_file(root / kManifest, manifest));
  return sha256(manifest);
}

/// What a root in the cache depends on, as far as it can be found quickly.
std::string state_of_inputs(const RootKind& kind) {
  // furnace itself decides what is put into a root.
  std::vector<fs::path> inputs{program_directory() / kind.program, program_directory() / "furnace-enter",
                               program_directory() / "furnace", "/var/lib/dpkg/status"};
  std::error_code ignored;
  if (kind.python)
    for (const auto& entry : fs::directory_iterator(installed_directory("python"), ignored))
      inputs.push_back(entry.path());
  std::sort(inputs.begin(), inputs.end());
  std::string text;
  for (const fs::path& input : inputs) {
    struct stat status {};
    if (::stat(input.c_str(), &status) != 0) continue;
    text += fmt::format("{} {} {}.{}\n", input.string(), status.st_size, status.st_mtim.tv_sec,
                        status.st_mtim.tv_nsec);
  }
  constexpr size_t enough = 16;
  return sha256(text).substr(0, enough);
}

/// Waits for the lock; Errc::Interrupted if a signal comes first.
Status lock_roots(const Fd& lock, int how, const fs::path& roots) {
  while (::flock(lock.get(), how) != 0) {
    if (errno != EINTR) return fail_errno("{}", roots.string());
    FURNACE_CHECK(check_interrupted());
  }
  return {};
}

/// What builders that were killed have left; who calls has the lock that builders of `name` have.
void remove_unfinished(const fs::path& roots, const std::string& name) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(roots, ignored)) {
    const std::string file = entry.path().filename();
    if (file.starts_with(name + '.') && (file.ends_with(".new") || file.ends_with(".old")))
      fs::remove_all(entry.path(), ignored);
  }
}

/// Roots of another state, unless a partition runs in them.
void remove_old(const RootKind& kind, const fs::path& roots, const std::string& current) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(roots, ignored)) {
    const std::string name = entry.path().filename();
    if (!name.starts_with(fmt::format("{}-", kind.name)) || !name.ends_with(".lock") ||
        name == current + ".lock")
      continue;
    const auto lock = lock_file(entry.path());
    if (!lock) continue;
    fs::remove_all(roots / entry.path().stem(), ignored);
    fs::remove(entry.path(), ignored);
  }
}

}  // namespace

Result<std::string> build_root(const RootKind& kind, const fs::path& directory) {
  std::error_code error;
  if (fs::exists(directory, error) && !fs::is_empty(directory, error) && !fs::exists(directory / kManifest))
    return fail(Errc::Denied, "{}: something other than a partition's root is there", directory.string());
  const fs::path made = directory.string() + fmt::format(".{}.new", ::getpid());
  FURNACE_CHECK(Directory::make(fs::absolute(made).parent_path(), Care::Names));
  const mode_t mask = ::umask(022);  // what runs inside is another user
  auto hash = fill(kind, made);
  ::umask(mask);
  if (!hash) {
    fs::remove_all(made, error);
    return fail(hash.error(), fmt::format("root of {} partitions", kind.name));
  }
  const fs::path old = directory.string() + fmt::format(".{}.old", ::getpid());
  if (fs::exists(directory)) fs::rename(directory, old, error);
  fs::rename(made, directory, error);
  if (error) return fail(Errc::Failed, "{}: {}", directory.string(), error.message());
  fs::remove_all(old, error);
  return hash;
}

Result<Verified> verify_root(const fs::path& directory) {
  FURNACE_TRY(const std::string manifest, read_file(directory / kManifest));
  Verified verified{sha256(manifest), {}, 0};
  std::set<std::string> listed{std::string(kManifest)};
  for (const std::string_view line : lines(manifest)) {
    const Cut hash = cut(line, ' ');
    const Cut column = cut(hash.after, ' ');
    if (!column.found) return fail(Errc::Invalid, "{}/manifest: not one of ours", directory.string());
    const std::string path(column.before);
    if (path.find('!') != std::string::npos) continue;  // part of a file that is listed
    listed.insert(path);
    ++verified.files;
    const auto content = read_file(directory / path, size_t{1} << 30);
    if (!content) {
      verified.differences.push_back(fmt::format("{} is missing", path));
    } else if (sha256(*content) != hash.before) {
      verified.differences.push_back(fmt::format("{} is changed", path));
    }
  }
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    const std::string path = entry.path().lexically_relative(directory);
    const auto mode = entry.symlink_status().permissions();
    if (entry.is_regular_file() && !entry.is_symlink() && !listed.contains(path))
      verified.differences.push_back(fmt::format("{} is not in the manifest", path));
    if (!entry.is_symlink() && (mode & (fs::perms::set_uid | fs::perms::set_gid)) != fs::perms::none)
      verified.differences.push_back(fmt::format("{} is setuid or setgid", path));
    if (!entry.is_symlink() && (mode & fs::perms::others_write) != fs::perms::none)
      verified.differences.push_back(fmt::format("{} can be written by everybody", path));
  }
  return verified;
}

fs::path operators_root(const RootKind& kind) {
  return furnace_directory() / fmt::format("{}_filesystem", kind.name);
}

Result<Root> find_root(const RootKind& kind) {
  if (const fs::path given = operators_root(kind); fs::exists(given / kManifest)) return Root{given, {}};
  const std::string name = fmt::format("{}-{}", kind.name, state_of_inputs(kind));
  FURNACE_TRY(const Directory directory, Directory::make(cache_directory() / "roots", Care::Content));
  const fs::path& roots = directory.path();
  FURNACE_TRY(Fd lock, directory.open_file(name + ".lock", O_RDWR | O_CREAT, 0644));
  if (!fs::exists(roots / name / kManifest)) {
    FURNACE_CHECK(lock_roots(lock, LOCK_EX, roots));
    if (!fs::exists(roots / name / kManifest)) {
      remove_unfinished(roots, name);
      FURNACE_TRY(const std::string hash, build_root(kind, roots / name));
      remove_old(kind, roots, name);
    }
  }
  FURNACE_CHECK(lock_roots(lock, LOCK_SH, roots));
  return Root{roots / name, std::move(lock)};
}

}  // namespace furnace::sandbox
