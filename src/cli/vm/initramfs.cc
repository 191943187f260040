#include "cli/vm/initramfs.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/command.h"
#include "base/file.h"

namespace furnace::cli {
namespace {

constexpr std::string_view kInit = R"(#!/bin/busybox sh
/bin/busybox mkdir -p /bin /proc /sys /dev /tmp /run
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
hostname furnace-guest
export PATH=/bin HOME=/
syslogd
su www -c 'exec web-server' &
su db -c 'exec database' &
case " $(cat /proc/cmdline) " in *" furnace.workload "*) workload & ;; esac
echo 'furnace guest ready' >/dev/ttyS0
while true; do
  setsid sh -c 'exec sh </dev/ttyS0 >/dev/ttyS0 2>&1'
done
)";

constexpr std::string_view kService = "#!/bin/sh\nwhile true; do sleep 3600; done\n";

constexpr std::string_view kWorkload = R"(#!/bin/sh
# Something to watch: jobs that come and go.
while true; do
  nightly-backup & sleep 2
  su www -c 'exec cgi-script' & sleep 2
  log-rotate & sleep 3
done
)";

constexpr std::string_view kJob = "#!/bin/sh\nsleep 3\n";
constexpr std::string_view kPasswd =
    "root:x:0:0::/:/bin/sh\nwww:x:33:33::/:/bin/sh\ndb:x:105:105::/:/bin/sh\n";
constexpr std::string_view kGroup = "root:x:0:\nwww:x:33:\ndb:x:105:\n";

/// Writes cpio entries one after the other.
class CpioWriter {
 public:
  void add(std::string_view name, unsigned mode, std::string_view content = {}, unsigned device = 0) {
    archive_ += fmt::format(
        "070701{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}", ++inode_,
        mode, 0, 0, 1, 0, content.size(), 0, 0, ::major(device), ::minor(device), name.size() + 1, 0);
    archive_ += name;
    archive_ += '\0';
    pad();
    archive_ += content;
    pad();
  }
  [[nodiscard]] std::string finish() {
    add("TRAILER!!!", 0);
    return std::move(archive_);
  }

 private:
  void pad() { archive_.resize((archive_.size() + 3) & ~size_t{3}); }
  std::string archive_;
  unsigned inode_ = 0;
};

}  // namespace

Result<std::string> make_initramfs() {
  const auto busybox_path = find_program("busybox");
  if (busybox_path.empty())
    return fail(Errc::NotFound, "busybox is missing: install the package busybox-static");
  FURNACE_TRY(const std::string busybox, read_file(busybox_path));
  if (busybox.find("/lib64/ld-linux") != std::string::npos)
    return fail(Errc::Invalid, "{} is not static: install the package busybox-static", busybox_path.string());

  CpioWriter cpio;
  for (const char* directory : {"bin", "etc", "dev"}) cpio.add(directory, S_IFDIR | 0755);
  cpio.add("dev/console", S_IFCHR | 0600, {}, ::makedev(5, 1));
  cpio.add("bin/busybox", S_IFREG | 0755, busybox);
  cpio.add("init", S_IFREG | 0755, kInit);
  cpio.add("etc/passwd", S_IFREG | 0644, kPasswd);
  cpio.add("etc/group", S_IFREG | 0644, kGroup);
  cpio.add("bin/workload", S_IFREG | 0755, kWorkload);
  for (const char* service : {"bin/web-server", "bin/database"}) cpio.add(service, S_IFREG | 0755, kService);
  for (const char* job : {"bin/nightly-backup", "bin/cgi-script", "bin/log-rotate"})
    cpio.add(job, S_IFREG | 0755, kJob);
  return cpio.finish();
}

}  // namespace furnace::cli
