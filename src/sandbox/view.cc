#include "sandbox/view.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <set>

#include "base/places.h"

namespace furnace::sandbox {
namespace {

void add(std::vector<std::string>& arguments, std::initializer_list<std::string> more) {
  arguments.insert(arguments.end(), more);
}

/// With bash, the tools of the host, and what they need to be of use.
void add_host(std::vector<std::string>& arguments) {
  add(arguments, {"--perms",
                  "0755",
                  "--tmpfs",
                  "/",
                  "--perms",
                  "0755",
                  "--dir",
                  "/opt",
                  "--perms",
                  "0755",
                  "--dir",
                  places::kHome,
                  "--ro-bind",
                  "/usr",
                  "/usr",
                  "--ro-bind-try",
                  "/etc/alternatives",
                  "/etc/alternatives",
                  "--ro-bind",
                  "/etc/ld.so.cache",
                  "/etc/ld.so.cache",
                  "--symlink",
                  "usr/bin",
                  "/bin",
                  "--symlink",
                  "usr/lib",
                  "/lib",
                  "--symlink",
                  "usr/lib64",
                  "/lib64",
                  "--symlink",
                  "usr/sbin",
                  "/sbin",
                  "--proc",
                  "/proc",
                  "--dev",
                  "/dev",
                  "--tmpfs",
                  "/tmp"});
}

}  // namespace

Result<Fd> memory_file(std::string_view data) {
  Fd file(::memfd_create("furnace", MFD_CLOEXEC));
  if (!file.valid()) return fail_errno("memory file");
  while (!data.empty()) {
    const ssize_t written = ::write(file.get(), data.data(), data.size());
    if (written < 0) return fail_errno("memory file");
    data.remove_prefix(static_cast<size_t>(written));
  }
  ::lseek(file.get(), 0, SEEK_SET);
  return file;
}

Result<View::Bind> bind_of(int descriptor, const std::filesystem::path& source,
                           const std::filesystem::path& place, bool writable) {
  struct stat status {};
  if (::fstat(descriptor, &status) != 0) return fail_errno("{}", source.string());
  return View::Bind{source, place, writable, status.st_dev, status.st_ino};
}

std::vector<std::string> bubblewrap(const View& view, bool as_root, int info_descriptor) {
  std::vector<std::string> arguments{"bwrap", "--unshare-pid", "--unshare-uts", "--unshare-ipc",
                                     "--unshare-cgroup-try"};
  if (!view.network) add(arguments, {"--unshare-net"});
  if (as_root) {
    add(arguments, {"--cap-add", "ALL"});
  } else {
    add(arguments, {"--unshare-user", "--uid", "1000", "--gid", "1000"});
  }
  add(arguments, {"--hostname", "furnace.sandbox", "--die-with-parent", "--as-pid-1", "--info-fd",
                  std::to_string(info_descriptor)});
  if (!view.debug) add(arguments, {"--new-session"});
  add(arguments, {"--clearenv", "--setenv", "PATH", "/usr/bin", "--setenv", "HOME", places::kHome, "--setenv",
                  "LANG", "C.UTF-8", "--setenv", "HOSTNAME", "furnace.sandbox"});
  if (view.debug) {
    add_host(arguments);
  } else {
    add(arguments, {"--ro-bind", view.root.string(), "/"});
  }
  for (const View::Bind& bind : view.binds)
    add(arguments, {bind.writable ? "--bind" : "--ro-bind", bind.source.string(), bind.place.string()});
  // bubblewrap makes the file on what is there: a file system in memory, closed afterwards.
  std::set<std::filesystem::path> made;
  const auto make_directory_of = [&](const std::filesystem::path& place) {
    if (made.insert(place.parent_path()).second)
      add(arguments, {"--perms", "0755", "--tmpfs", place.parent_path().string()});
  };
  for (const View::Content& content : view.contents) make_directory_of(content.place);
  for (const View::Bind& file : view.files) make_directory_of(file.place);
  for (const View::Bind& file : view.files)
    add(arguments, {"--ro-bind", file.source.string(), file.place.string()});
  for (const View::Content& content : view.contents)
    add(arguments,
        {"--perms", "0444", "--ro-bind-data", std::to_string(content.data.get()), content.place.string()});
  for (const auto& directory : made) add(arguments, {"--remount-ro", directory.string()});
  add(arguments, {"--chdir", places::kHome, "--"});
  return arguments;
}

}  // namespace furnace::sandbox
