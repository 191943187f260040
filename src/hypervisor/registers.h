// Registers of a vCPU. They have names only where the wire, a command line or another program uses them.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "base/enum_table.h"
#include "base/result.h"
#include "guest/profile/locate.h"

namespace furnace::hypervisor {

enum class Reg : uint8_t {
  Rax,
  Rbx,
  Rcx,
  Rdx,
  Rsi,
  Rdi,
  Rbp,
  Rsp,
  R8,
  R9,
  R10,
  R11,
  R12,
  R13,
  R14,
  R15,
  Rip,
  Rflags,
  Cr0,
  Cr2,
  Cr3,
  Cr4,
  Cr8,
  Efer,
  // Selectors
  Cs,
  Ss,
  Ds,
  Es,
  Fs,
  Gs,
  Ldtr,
  Tr,
  // Addresses
  CsBase,
  SsBase,
  DsBase,
  EsBase,
  FsBase,
  GsBase,
  LdtrBase,
  TrBase,
  GdtrBase,
  IdtrBase,
  KernelGsBase,
};

/// Returns the lower-case name: "rax", "fs_base".
[[nodiscard]] std::string_view name_of(Reg reg);
/// Returns the register of a lower-case name.
[[nodiscard]] std::optional<Reg> register_named(std::string_view name);

/// What every driver gives of a vCPU.
inline constexpr std::array kOfEveryVcpu = {Reg::Rax, Reg::Rsp, Reg::Rip, Reg::Cr0, Reg::Cr3, Reg::Cr4};
/// What every driver gives with an event.
inline constexpr std::array kOfEveryEvent = {Reg::Rax, Reg::Rsp, Reg::Rip, Reg::Cr0, Reg::Cr3,
                                             Reg::Cr4, Reg::Rbp, Reg::Rdi, Reg::Rsi, Reg::Rdx,
                                             Reg::R10, Reg::R8,  Reg::R9};

class Registers {
 public:
  void set(Reg reg, uint64_t value) {
    values_.at(static_cast<size_t>(reg)) = value;
    given_.set(static_cast<size_t>(reg));
  }
  /// Returns nullopt if the driver does not give it.
  [[nodiscard]] std::optional<uint64_t> get(Reg reg) const {
    if (!given_.test(static_cast<size_t>(reg))) return std::nullopt;
    return value(reg);
  }
  /// Fails, with the register's name, if the driver does not give it.
  [[nodiscard]] Result<uint64_t> need(Reg reg) const;

  // Those of `kOfEveryVcpu`.
  [[nodiscard]] uint64_t rax() const { return value(Reg::Rax); }
  [[nodiscard]] uint64_t rsp() const { return value(Reg::Rsp); }
  [[nodiscard]] uint64_t rip() const { return value(Reg::Rip); }
  [[nodiscard]] uint64_t cr0() const { return value(Reg::Cr0); }
  [[nodiscard]] uint64_t cr3() const { return value(Reg::Cr3); }
  [[nodiscard]] uint64_t cr4() const { return value(Reg::Cr4); }
  [[nodiscard]] guest::PagingState paging() const;

 private:
  static constexpr size_t kCount = count_of<Reg>();
  [[nodiscard]] uint64_t value(Reg reg) const { return values_.at(static_cast<size_t>(reg)); }

  std::array<uint64_t, kCount> values_{};
  std::bitset<kCount> given_;
};

/// Returns the registers that a driver has read, if those of `needed` are among them. The error names the
/// missing ones; `whose` is its beginning.
[[nodiscard]] Result<Registers> complete(const Registers& registers, std::string_view whose,
                                         std::span<const Reg> needed = kOfEveryVcpu);

}  // namespace furnace::hypervisor
