#include "base/file.h"
#include "hypervisor/xen/handles.h"
#include "hypervisor/xen_host.h"

namespace furnace::hypervisor {
namespace {

std::string cpu_vendor() {
  const auto text = read_file("/proc/cpuinfo", 1 << 16);
  constexpr std::string_view key = "vendor_id\t: ";
  const size_t at = text ? text->find(key) : std::string::npos;
  if (at == std::string::npos) return "unknown";
  return text->substr(at + key.size(), text->find('\n', at) - at - key.size());
}

/// The option of Xen's command line, as its boolean parameters are written.
bool is_switched_on(std::string_view option, std::string_view command_line) {
  for (const std::string_view value : {"", "=1", "=yes", "=on", "=true", "=enable"}) {
    const std::string wanted = fmt::format(" {}{} ", option, value);
    if (fmt::format(" {} ", command_line).find(wanted) != std::string::npos) return true;
  }
  return false;
}

}  // namespace

Result<XenHost> look_at_xen_host() {
  FURNACE_TRY(const XenControl control, open_control());
  const int version = ::xc_version(control.get(), XENVER_version, nullptr);
  xen_extraversion_t extra{};
  xc_physinfo_t physical{};
  if (version < 0 || ::xc_version(control.get(), XENVER_extraversion, &extra) < 0 ||
      ::xc_physinfo(control.get(), &physical) != 0)
    return fail_errno("Xen does not say what it is");
  XenHost host;
  host.version = fmt::format("{}.{}{:.16}", version >> 16, version & 0xffff, static_cast<const char*>(extra));
  host.vendor = cpu_vendor();
  host.hvm = (physical.capabilities & XEN_SYSCTL_PHYSCAP_hvm) != 0;
  host.nested_paging = (physical.capabilities & XEN_SYSCTL_PHYSCAP_hap) != 0;
  host.memory_access =
      host.nested_paging && host.vendor == "GenuineIntel";  // Xen: p2m_mem_access_sanity_check
  xen_commandline_t options{};
  host.views = host.memory_access && ::xc_version(control.get(), XENVER_commandline, &options) == 0 &&
               is_switched_on("altp2m", static_cast<const char*>(options));
  return host;
}

}  // namespace furnace::hypervisor
