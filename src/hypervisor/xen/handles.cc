#include "hypervisor/xen/handles.h"

#include <cerrno>

namespace furnace::hypervisor {
namespace {

/// A logger that drops everything: each failure is reported by the call that failed.
xentoollog_logger* silence() {
  static xentoollog_logger logger{
      [](xentoollog_logger*, xentoollog_level, int, const char*, const char*, va_list) {},
      [](xentoollog_logger*, const char*, const char*, int, unsigned long, unsigned long) {},
      [](xentoollog_logger*) {}};
  return &logger;
}

tl::unexpected<Error> not_open(std::string_view what) {
  const Errc code = errno == EACCES || errno == EPERM ? Errc::Denied : Errc::Unavailable;
  return fail(code, "{}: {}: is this dom0 of a Xen host (module xen-privcmd), and may we use /dev/xen?", what,
              errno_text(errno));
}

}  // namespace

Result<XenControl> open_control() {
  XenControl control(::xc_interface_open(silence(), silence(), 0));
  if (!control) return not_open("/dev/xen/privcmd");
  return control;
}

Result<XenStore> open_store() {
  XenStore store(::xs_open(0));
  if (!store) return not_open("xenstore");
  return store;
}

}  // namespace furnace::hypervisor
