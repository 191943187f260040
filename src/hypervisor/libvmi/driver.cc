#include "hypervisor/libvmi/driver.h"

#include "hypervisor/libvmi/libvmi.h"

namespace furnace::hypervisor {

const Driver kLibvmiDriver{
    .name = "libvmi",
    .summary = kLibvmiSummary,
    .claims = [](const std::string&) { return false; },
    .find = [](const std::string&) { return Status(); },
    .attach = [](const std::string& name, RamAccess, Fd) { return LibVmi::attach(name); }};

}  // namespace furnace::hypervisor
