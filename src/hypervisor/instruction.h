// What an instruction does, as far as stepping over it and finding the memory it touched needs.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "hypervisor/registers.h"

struct cs_insn;

namespace furnace::hypervisor {

/// An operand in memory, at an address that the registers of one moment give.
struct MemoryOperand {
  uint64_t address = 0;
  uint32_t bytes = 0;
  bool reads = false, writes = false;
};

struct Instruction {
  uint32_t length = 0;
  bool no_effect = false;       ///< a nop, or endbr64
  bool goes_elsewhere = false;  ///< a jump, call or return
  bool enters_kernel = false;   ///< a system call or a software interrupt
  bool repeats = false;         ///< with a REP prefix: it may still stand at itself when it has run once
  std::vector<MemoryOperand> memory;
};

/// Decodes x86-64 instructions. Not to be shared between threads.
class Disassembler {
 public:
  Disassembler();
  ~Disassembler();
  Disassembler(const Disassembler&) = delete;
  Disassembler& operator=(const Disassembler&) = delete;

  /// The first instruction of `code`, which is at `address`. The addresses of its operands in memory are as
  /// `registers` give them; `ran`: the registers are those after it ran (the stack pointer and the pointers
  /// of string instructions have moved).
  [[nodiscard]] std::optional<Instruction> decode(std::span<const std::byte> code, uint64_t address,
                                                  const Registers& registers, bool ran) const;

 private:
  size_t handle_ = 0;
  cs_insn* scratch_ = nullptr;
};

}  // namespace furnace::hypervisor
