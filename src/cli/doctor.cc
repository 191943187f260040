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

enum class Mark { Good, Limited, Missing };

struct Finding {
  Mark verdict;
  std::string what;    ///< "QEMU"
  std::string state;   ///< "7.2.22"
  std::string advice;  ///< what to do, empty if nothing
};

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
    return {Mark::Missing, tool.program, fmt::format("missing; used for {}", tool.purpose),
            fmt::format("apt-get install {}", tool.package)};
  std::string state = path.string();
  if (std::string_view(tool.program).starts_with("qemu"))
    if (const auto version = run({path.string(), "--version"})) state = first_line(*version);
  return {Mark::Good, tool.program, state, ""};
}

Finding examine_kvm() {
  const Status usable = kvm_usable();
  if (usable) return {Mark::Good, "KVM", "usable", ""};
  return {Mark::Limited, "KVM", usable.error().message(),
          "VMs run under TCG (software), slower; for KVM enable virtualization and join group kvm"};
}

Finding examine_xen() {
  const auto host = hypervisor::look_at_xen_host();
  if (!host)
    return {Mark::Limited, "Xen", host.error().message(),
            "run as root in dom0, with libxen-dev at build time"};
  const std::string state =
      fmt::format("{} on {}, {}", host->version, host->vendor,
                  host->nested_paging ? "nested paging (HAP)" : "no nested paging (HAP)");
  if (!host->hvm || !host->nested_paging)
    return {Mark::Limited, "Xen", state, "no events: they need HVM or PVH guests with nested paging"};
  if (!host->memory_access)
    return {Mark::Limited, "Xen", state,
            "events of CR3 and breakpoints; those of memory (mem_access, altp2m) need Intel's EPT"};
  if (!host->views)
    return {Mark::Good, "Xen", state + ", mem_access, no altp2m",
            "memory events of guests with several vCPUs lack new values: start Xen with altp2m=1"};
  return {Mark::Good, "Xen", state + ", mem_access, altp2m", ""};
}

Finding examine_other_processes() {
  // Guest RAM of a QEMU that another user runs is reached through /proc, which wants its user, or root.
  if (::geteuid() == 0)
    return {Mark::Good, "privileges", "root: VMs of all users can be introspected", ""};
  return {Mark::Limited, "privileges",
          fmt::format("uid {}: VMs of this user can be introspected", ::geteuid()),
          "for other users' VMs run as their user or as root"};
}

Finding examine_user_namespaces() {
  const auto limit = read_file("/proc/sys/user/max_user_namespaces");
  const auto debian = read_file("/proc/sys/kernel/unprivileged_userns_clone");
  const bool off = !limit || *limit == "0\n" || (debian && *debian == "0\n");
  if (!off) return {Mark::Good, "user namespaces", "available", ""};
  return {Mark::Limited, "user namespaces", "switched off",
          "sysctl user.max_user_namespaces=10000 kernel.unprivileged_userns_clone=1"};
}

Finding examine_cgroups() {
  const bool v2 = std::filesystem::exists("/sys/fs/cgroup/cgroup.controllers");
  const bool v1 = std::filesystem::exists("/sys/fs/cgroup/memory");
  if (v2) return {Mark::Good, "cgroups", "version 2", ""};
  if (v1) return {Mark::Good, "cgroups", "version 1 controllers", ""};
  return {Mark::Limited, "cgroups", "none mounted at /sys/fs/cgroup",
          "mount cgroup2 there for partition limits"};
}

Finding examine_curve() {
  if (zmq_has("curve") == 1) return {Mark::Good, "CURVE", "in this libzmq", ""};
  return {Mark::Missing, "CURVE", "this libzmq was built without it", "use a libzmq built with libsodium"};
}

Finding examine_kernel() {
  utsname info{};
  ::uname(&info);
  return {Mark::Good, "host kernel", fmt::format("{} {}", info.sysname, info.release), ""};
}

std::vector<Finding> examine_host() {
  std::vector<Finding> findings{examine_kernel(), hypervisor::is_dom0() ? examine_xen() : examine_kvm()};
  for (const Tool& tool : kTools) findings.push_back(examine(tool));
  findings.push_back(examine_curve());
  findings.push_back(examine_other_processes());
  findings.push_back(examine_user_namespaces());
  findings.push_back(examine_cgroups());
  for (const VmLine& vm : list_vms())
    findings.push_back(
        {Mark::Good, "VM", fmt::format("{} (pid {}), {}", printable(vm.name), vm.pid, vm.state), ""});
  return findings;
}

bool print_findings(const std::vector<Finding>& findings) {
  bool complete = true;
  for (const Finding& finding : findings) {
    const char* mark = finding.verdict == Mark::Good      ? "ok"
                       : finding.verdict == Mark::Limited ? "--"
                                                             : "!!";
    fmt::print("{:<3}{:<20} {}\n", mark, finding.what, printable_lines(finding.state));
    if (!finding.advice.empty()) fmt::print("{:24}-> {}\n", "", printable_lines(finding.advice));
    complete = complete && finding.verdict != Mark::Missing;
  }
  fmt::print("\nok works   -- works with limits   !! missing\n");
  return complete;
}

}  // namespace

void add_doctor(Commands& commands) {
  auto* doctor = commands.add("doctor", "Report what this host can and can't do, and what to install");
  commands.on(doctor, [] {
    return print_findings(examine_host()) ? Status()
                                          : Status(fail(Errc::NotFound, "something is missing: see above"));
  });
}

}  // namespace furnace::cli
