#pragma once

#include "hypervisor/driver.h"

namespace furnace::hypervisor {

inline constexpr const char* kLibvmiSummary = "a VM that LibVMI finds";

#ifdef FURNACE_LIBVMI
extern const Driver kLibvmiDriver;
#else
inline constexpr Driver kLibvmiDriver{
    .name = "libvmi", .summary = kLibvmiSummary, .missing = "LibVMI", .claims = [](const std::string&) {
      return false;
    }};
#endif

}  // namespace furnace::hypervisor
