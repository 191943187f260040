#include "hypervisor/xen/vcpu.h"

#include <array>

namespace furnace::hypervisor {
namespace {

template <typename Source>
struct Field {
  Reg reg;
  uint64_t (*get)(const Source&);
};

template <typename Source, size_t N>
Registers collect(const std::array<Field<Source>, N>& fields, const Source& source) {
  Registers registers;
  for (const auto& field : fields) registers.set(field.reg, field.get(source));
  return registers;
}

// NOLINTBEGIN(cppcoreguidelines-macro-usage): a member of one name, in three structures of Xen
#define FIELD(type, reg, member)                                         \
  Field<type> {                                                          \
    reg, [](const type& of) { return static_cast<uint64_t>(of.member); } \
  }
#define GENERAL_REGISTERS(type, prefix)                                                                    \
  FIELD(type, Reg::Rax, prefix rax), FIELD(type, Reg::Rbx, prefix rbx), FIELD(type, Reg::Rcx, prefix rcx), \
      FIELD(type, Reg::Rdx, prefix rdx), FIELD(type, Reg::Rsi, prefix rsi),                                \
      FIELD(type, Reg::Rdi, prefix rdi), FIELD(type, Reg::Rbp, prefix rbp),                                \
      FIELD(type, Reg::Rsp, prefix rsp), FIELD(type, Reg::R8, prefix r8), FIELD(type, Reg::R9, prefix r9), \
      FIELD(type, Reg::R10, prefix r10), FIELD(type, Reg::R11, prefix r11),                                \
      FIELD(type, Reg::R12, prefix r12), FIELD(type, Reg::R13, prefix r13),                                \
      FIELD(type, Reg::R14, prefix r14), FIELD(type, Reg::R15, prefix r15),                                \
      FIELD(type, Reg::Rip, prefix rip), FIELD(type, Reg::Rflags, prefix rflags)
#define SYSTEM_REGISTERS(type)                                                                       \
  FIELD(type, Reg::Cr0, cr0), FIELD(type, Reg::Cr2, cr2), FIELD(type, Reg::Cr3, cr3),                \
      FIELD(type, Reg::Cr4, cr4), FIELD(type, Reg::Efer, msr_efer), FIELD(type, Reg::Cs, cs_sel),    \
      FIELD(type, Reg::Ss, ss_sel), FIELD(type, Reg::Ds, ds_sel), FIELD(type, Reg::Es, es_sel),      \
      FIELD(type, Reg::Fs, fs_sel), FIELD(type, Reg::Gs, gs_sel), FIELD(type, Reg::FsBase, fs_base), \
      FIELD(type, Reg::GsBase, gs_base), FIELD(type, Reg::GdtrBase, gdtr_base)
// NOLINTEND(cppcoreguidelines-macro-usage)

constexpr std::array kHvm = {GENERAL_REGISTERS(hvm_hw_cpu, ), SYSTEM_REGISTERS(hvm_hw_cpu),
                             FIELD(hvm_hw_cpu, Reg::IdtrBase, idtr_base)};
constexpr std::array kEvent = {GENERAL_REGISTERS(vm_event_regs_x86, ), SYSTEM_REGISTERS(vm_event_regs_x86)};
constexpr std::array kPv = {
    GENERAL_REGISTERS(vcpu_guest_context_x86_64_t, user_regs.),
    FIELD(vcpu_guest_context_x86_64_t, Reg::Cr0, ctrlreg[0]),
    FIELD(vcpu_guest_context_x86_64_t, Reg::Cr2, ctrlreg[2]),
    FIELD(vcpu_guest_context_x86_64_t, Reg::Cs, user_regs.cs),
    FIELD(vcpu_guest_context_x86_64_t, Reg::Ss, user_regs.ss),
    FIELD(vcpu_guest_context_x86_64_t, Reg::Ds, user_regs.ds),
    FIELD(vcpu_guest_context_x86_64_t, Reg::Es, user_regs.es),
    FIELD(vcpu_guest_context_x86_64_t, Reg::Fs, user_regs.fs),
    FIELD(vcpu_guest_context_x86_64_t, Reg::Gs, user_regs.gs),
    FIELD(vcpu_guest_context_x86_64_t, Reg::FsBase, fs_base),
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
  registers.set(Reg::Cr3, memory.from_table(root).value);
  // A PV guest doesn't see the CPU's own: it runs in long mode with 4 levels.
  constexpr uint64_t pae = 1 << 5, paging_and_protection = 0x80000001, long_mode = 0x500;
  registers.set(Reg::Cr4, known.ctrlreg[4] | pae);
  registers.set(Reg::Cr0, known.ctrlreg[0] | paging_and_protection);
  registers.set(Reg::Efer, long_mode);
  const bool in_kernel = (known.flags & VGCF_in_kernel) != 0;
  registers.set(Reg::GsBase, in_kernel ? known.gs_base_kernel : known.gs_base_user);
  return registers;
}

Registers registers_of(const vm_event_regs_x86& sent) {
  return collect(kEvent, sent);
}

}  // namespace furnace::hypervisor
