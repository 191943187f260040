// Registers of a domain's vCPU.
#pragma once

#include "hypervisor/registers.h"
#include "hypervisor/xen/domain_memory.h"

namespace furnace::hypervisor {

/// Of a guest with its own physical address space (HVM, PVH).
[[nodiscard]] Result<Registers> read_hvm_registers(xc_interface& control, uint32_t domain, uint32_t vcpu);
/// Of a PV guest; its cr3 is the physical address as the guest counts, like everybody else's.
[[nodiscard]] Result<Registers> read_pv_registers(xc_interface& control, uint32_t domain, uint32_t vcpu,
                                                  const DomainMemory& memory);
/// As they come with an event.
[[nodiscard]] Registers registers_of(const vm_event_regs_x86& sent);

}  // namespace furnace::hypervisor
