#include "cli/doctor.h"

#include <fmt/format.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <zmq.h>

#include <array>
#include <filesystem>

#include "base/command.h"
#include "base/file.h"
#include "base/printable.h"
#include "cli/vm/kvm_probe.h"
#include "cli/vm/test_vm.h"
#include "hypervisor/xen_host.h"

namespace furnace::cli {
namespace {

/// A program that is needed, or only for some purpose.
struct Tool {
  const char* program;
  const char* package;
  const char* purpose;
  bool needed;
};

constexpr std::array kTools = {
    Tool{"qemu-system-x86_64", "qemu-system-x86", "test VMs and the demo", false},
    Tool{"busybox", "busybox-static", "the test VMs' user space", false},
    Tool{"apt-get", "apt", "fetching kernels for test VMs (else: --kernel FILE)", false},
    Tool{"dpkg-deb", "dpkg", "unpacking kernels for test VMs (else: --kernel FILE)", false},
    Tool{"bwrap", "bubblewrap", "confined partitions", false},
};

std::string first_line(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

Finding examine(const Tool& tool) {
  const auto path = find_program(tool.program);
  if (path.empty())
    return {Verdict::Missing, tool.program, fmt::format("missing; used for {}", tool.purpose),
            fmt::format("apt-get install {}", tool.package)};
  std::string state = path.string();
  if (std::string_view(tool.program).starts_with("qemu"))
    if (const auto version = run({path.string(), "--version"})) state = first_line(*version);
  return {Verdict::Good, tool.program, state, ""};
}

Finding examine_kvm() {
  const Status usable = kvm_usable();
  if (usable) return {Verdict::Good, "KVM", "usable", ""};
  return {Verdict::Limited, "KVM", usable.error().message(),
          "VMs run under TCG (software), slower; for KVM enable virtualization and join group kvm"};
}

Finding examine_xen() {
  const auto host = hypervisor::look_at_xen_host();
  if (!host)
    return {Verdict::Limited, "Xen", host.error().message(),
            "run as root in dom0, with libxen-dev at build time"};
  const std::string state =
      fmt::format("{} on {}, {}", host->version, host->vendor,
                  host->nested_paging ? "nested paging (HAP)" : "no nested paging (HAP)");
  if (!host->hvm || !host->nested_paging)
    return {Verdict::Limited, "Xen", state, "no events: they need HVM or PVH guests with nested paging"};
  if (!host->memory_access)
    return {Verdict::Limited, "Xen", state,
            "events of CR3 and breakpoints; those of memory (mem_access, altp2m) need Intel's EPT"};
  if (!host->views)
    return {Verdict::Good, "Xen", state + ", mem_access, no altp2m",
            "memory events of guests with several vCPUs lack new values: start Xen with altp2m=1"};
  return {Verdict::Good, "Xen", state + ", mem_access, altp2m", ""};
}

Finding examine_other_processes() {
  // Guest RAM of a QEMU that another user runs is reached through /proc, which wants its user, or root.
  if (::geteuid() == 0)
    return {Verdict::Good, "privileges", "root: VMs of all users can be introspected", ""};
  return {Verdict::Limited, "privileges",
          fmt::format("uid {}: VMs of this user can be introspected", ::geteuid()),
          "for other users' VMs run as their user or as root"};
}

Finding examine_user_namespaces() {
  const auto limit = read_file("/proc/sys/user/max_user_namespaces");
  const auto debian = read_file("/proc/sys/kernel/unprivileged_userns_clone");
  const bool off = !limit || *limit == "0\n" || (debian && *debian == "0\n");
  if (!off) return {Verdict::Good, "user namespaces", "available", ""};
  return {Verdict::Limited, "user namespaces", "switched off",
          "sysctl user.max_user_namespaces=10000 kernel.unprivileged_userns_clone=1"};
}

Finding examine_cgroups() {
  const bool v2 = std::filesystem::exists("/sys/fs/cgroup/cgroup.controllers");
  const bool v1 = std::filesystem::exists("/sys/fs/cgroup/memory");
  if (v2) return {Verdict::Good, "cgroups", "version 2", ""};
  if (v1) return {Verdict::Good, "cgroups", "version 1 controllers", ""};
  return {Verdict::Limited, "cgroups", "none mounted at /sys/fs/cgroup",
          "mount cgroup2 there for partition limits"};
}

Finding examine_curve() {
  if (zmq_has("curve") == 1) return {Verdict::Good, "CURVE", "in this libzmq", ""};
  return {Verdict::Missing, "CURVE", "this libzmq was built without it", "use a libzmq built with libsodium"};
}

Finding examine_kernel() {
  utsname info{};
  ::uname(&info);
  return {Verdict::Good, "host kernel", fmt::format("{} {}", info.sysname, info.release), ""};
}

}  // namespace

std::vector<Finding> examine_host() {
  std::vector<Finding> findings{examine_kernel(), hypervisor::is_dom0() ? examine_xen() : examine_kvm()};
  for (const Tool& tool : kTools) findings.push_back(examine(tool));
  findings.push_back(examine_curve());
  findings.push_back(examine_other_processes());
  findings.push_back(examine_user_namespaces());
  findings.push_back(examine_cgroups());
  for (const VmLine& vm : list_vms())
    findings.push_back(
        {Verdict::Good, "VM", fmt::format("{} (pid {}), {}", printable(vm.name), vm.pid, vm.state), ""});
  return findings;
}

bool print_findings(const std::vector<Finding>& findings) {
  bool complete = true;
  for (const Finding& finding : findings) {
    const char* mark = finding.verdict == Verdict::Good      ? "ok"
                       : finding.verdict == Verdict::Limited ? "--"
                                                             : "!!";
    fmt::print("{:<3}{:<20} {}\n", mark, finding.what, printable_lines(finding.state));
    if (!finding.advice.empty()) fmt::print("{:24}-> {}\n", "", printable_lines(finding.advice));
    complete = complete && finding.verdict != Verdict::Missing;
  }
  fmt::print("\nok works   -- works with limits   !! missing\n");
  return complete;
}

}  // namespace furnace::cli
