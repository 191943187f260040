#include "hypervisor/xen/vcpu.h"

#include <array>

namespace furnace::hypervisor {
namespace {

template <typename Source>
struct Field {
  const char* name;
  uint64_t (*get)(const Source&);
};

template <typename Source, size_t N>
Registers collect(const std::array<Field<Source>, N>& fields, const Source& source) {
  Registers registers;
  for (const auto& field : fields) registers.set(field.name, field.get(source));
  return registers;
}

// NOLINTBEGIN(cppcoreguidelines-macro-usage): a field by its name, in three structures of Xen
#define FIELD(type, name, member)                                         \
  Field<type> {                                                           \
    name, [](const type& of) { return static_cast<uint64_t>(of.member); } \
  }
#define GENERAL_REGISTERS(type, prefix)                                                               \
  FIELD(type, "rax", prefix rax), FIELD(type, "rbx", prefix rbx), FIELD(type, "rcx", prefix rcx),     \
      FIELD(type, "rdx", prefix rdx), FIELD(type, "rsi", prefix rsi), FIELD(type, "rdi", prefix rdi), \
      FIELD(type, "rbp", prefix rbp), FIELD(type, "rsp", prefix rsp), FIELD(type, "r8", prefix r8),   \
      FIELD(type, "r9", prefix r9), FIELD(type, "r10", prefix r10), FIELD(type, "r11", prefix r11),   \
      FIELD(type, "r12", prefix r12), FIELD(type, "r13", prefix r13), FIELD(type, "r14", prefix r14), \
      FIELD(type, "r15", prefix r15), FIELD(type, "rip", prefix rip), FIELD(type, "rflags", prefix rflags)
#define SYSTEM_REGISTERS(type)                                                                        \
  FIELD(type, "cr0", cr0), FIELD(type, "cr2", cr2), FIELD(type, "cr3", cr3), FIELD(type, "cr4", cr4), \
      FIELD(type, "efer", msr_efer), FIELD(type, "cs", cs_sel), FIELD(type, "ss", ss_sel),            \
      FIELD(type, "ds", ds_sel), FIELD(type, "es", es_sel), FIELD(type, "fs", fs_sel),                \
      FIELD(type, "gs", gs_sel), FIELD(type, "fs_base", fs_base), FIELD(type, "gs_base", gs_base),    \
      FIELD(type, "gdtr_base", gdtr_base)
// NOLINTEND(cppcoreguidelines-macro-usage)

constexpr std::array kHvm = {GENERAL_REGISTERS(hvm_hw_cpu, ), SYSTEM_REGISTERS(hvm_hw_cpu),
                             FIELD(hvm_hw_cpu, "idtr_base", idtr_base)};
constexpr std::array kEvent = {GENERAL_REGISTERS(vm_event_regs_x86, ), SYSTEM_REGISTERS(vm_event_regs_x86)};
constexpr std::array kPv = {
    GENERAL_REGISTERS(vcpu_guest_context_x86_64_t, user_regs.),
    FIELD(vcpu_guest_context_x86_64_t, "cr0", ctrlreg[0]),
    FIELD(vcpu_guest_context_x86_64_t, "cr2", ctrlreg[2]),
    FIELD(vcpu_guest_context_x86_64_t, "cs", user_regs.cs),
    FIELD(vcpu_guest_context_x86_64_t, "ss", user_regs.ss),
    FIELD(vcpu_guest_context_x86_64_t, "ds", user_regs.ds),
    FIELD(vcpu_guest_context_x86_64_t, "es", user_regs.es),
    FIELD(vcpu_guest_context_x86_64_t, "fs", user_regs.fs),
    FIELD(vcpu_guest_context_x86_64_t, "gs", user_regs.gs),
    FIELD(vcpu_guest_context_x86_64_t, "fs_base", fs_base),
};
#undef SYSTEM_REGISTERS
#undef GENERAL_REGISTERS
#undef FIELD

}  // namespace

Result<Registers> read_hvm_registers(xc_interface& control, uint32_t domain, uint32_t vcpu) {
  hvm_hw_cpu cpu{};
  if (::xc_domain_hvm_getcontext_partial(&control, domain, HVM_SAVE_CODE(CPU), static_cast<uint16_t>(vcpu),
                                         &cpu, sizeof cpu) != 0)
    return fail_errno("registers of vCPU {} of domain {}", vcpu, domain);
  return collect(kHvm, cpu);
}

Result<Registers> read_pv_registers(xc_interface& control, uint32_t domain, uint32_t vcpu,
                                    const DomainMemory& memory) {
  vcpu_guest_context_any_t context{};
  if (::xc_vcpu_getcontext(&control, domain, vcpu, &context) != 0)
    return fail_errno("registers of vCPU {} of domain {}", vcpu, domain);
  const vcpu_guest_context_x86_64_t& known = context.x64;
  Registers registers = collect(kPv, known);
  const guest::Gpa root{xen_cr3_to_pfn_x86_64(known.ctrlreg[3]) * guest::kPageSize};
  registers.set("cr3", memory.from_table(root).value);
  // A PV guest doesn't see the CPU's own: it runs in long mode with 4 levels.
  constexpr uint64_t pae = 1 << 5, paging_and_protection = 0x80000001, long_mode = 0x500;
  registers.set("cr4", known.ctrlreg[4] | pae);
  registers.replace("cr0", known.ctrlreg[0] | paging_and_protection);
  registers.set("efer", long_mode);
  const bool in_kernel = (known.flags & VGCF_in_kernel) != 0;
  registers.set("gs_base", in_kernel ? known.gs_base_kernel : known.gs_base_user);
  return registers;
}

Registers registers_of(const vm_event_regs_x86& sent) {
  return collect(kEvent, sent);
}

}  // namespace furnace::hypervisor
