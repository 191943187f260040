#include "hypervisor/registers.h"

#include <algorithm>

namespace furnace::hypervisor {
namespace {

constexpr EnumTable<Reg, std::string_view> kNames({
    {Reg::Rax, "rax"},
    {Reg::Rbx, "rbx"},
    {Reg::Rcx, "rcx"},
    {Reg::Rdx, "rdx"},
    {Reg::Rsi, "rsi"},
    {Reg::Rdi, "rdi"},
    {Reg::Rbp, "rbp"},
    {Reg::Rsp, "rsp"},
    {Reg::R8, "r8"},
    {Reg::R9, "r9"},
    {Reg::R10, "r10"},
    {Reg::R11, "r11"},
    {Reg::R12, "r12"},
    {Reg::R13, "r13"},
    {Reg::R14, "r14"},
    {Reg::R15, "r15"},
    {Reg::Rip, "rip"},
    {Reg::Rflags, "rflags"},
    {Reg::Cr0, "cr0"},
    {Reg::Cr2, "cr2"},
    {Reg::Cr3, "cr3"},
    {Reg::Cr4, "cr4"},
    {Reg::Cr8, "cr8"},
    {Reg::Efer, "efer"},
    {Reg::Cs, "cs"},
    {Reg::Ss, "ss"},
    {Reg::Ds, "ds"},
    {Reg::Es, "es"},
    {Reg::Fs, "fs"},
    {Reg::Gs, "gs"},
    {Reg::Ldtr, "ldtr"},
    {Reg::Tr, "tr"},
    {Reg::CsBase, "cs_base"},
    {Reg::SsBase, "ss_base"},
    {Reg::DsBase, "ds_base"},
    {Reg::EsBase, "es_base"},
    {Reg::FsBase, "fs_base"},
    {Reg::GsBase, "gs_base"},
    {Reg::LdtrBase, "ldtr_base"},
    {Reg::TrBase, "tr_base"},
    {Reg::GdtrBase, "gdtr_base"},
    {Reg::IdtrBase, "idtr_base"},
    {Reg::KernelGsBase, "kernel_gs_base"},
});

}  // namespace

std::string_view name_of(Reg reg) {
  return kNames[reg];
}

std::optional<Reg> register_named(std::string_view name) {
  const auto* const found =
      std::find_if(kNames.begin(), kNames.end(), [&](const auto& row) { return row.value == name; });
  if (found == kNames.end()) return std::nullopt;
  return found->key;
}

Result<uint64_t> Registers::need(Reg reg) const {
  const auto found = get(reg);
  if (!found) return fail(Errc::Failed, "the driver gives no register {}", name_of(reg));
  return *found;
}

guest::PagingState Registers::paging() const {
  // The registers of an ELF core come without EFER. A kernel for x86-64 that has turned on paging with PAE is
  // in long mode (Intel SDM volume 3, section 4.1.1).
  constexpr uint64_t cr4_pae = 1 << 5, efer_lma = 1 << 10;
  const uint64_t assumed = (cr4() & cr4_pae) != 0 ? efer_lma : 0;
  return {.cr0 = cr0(), .cr3 = cr3(), .cr4 = cr4(), .efer = get(Reg::Efer).value_or(assumed)};
}

Result<Registers> complete(const Registers& registers, std::string_view whose, std::span<const Reg> needed) {
  std::string missing;
  for (const Reg reg : needed)
    if (!registers.get(reg)) missing += fmt::format("{}{}", missing.empty() ? "" : ", ", name_of(reg));
  if (!missing.empty()) return fail(Errc::Failed, "{}: no register {}", whose, missing);
  return registers;
}

}  // namespace furnace::hypervisor
