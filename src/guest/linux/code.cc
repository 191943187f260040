#include "guest/linux/code.h"

#include <capstone/capstone.h>

namespace furnace::guest {
namespace {

constexpr size_t kLongest = 15;  // bytes of an x86 instruction

/// Calls `visit(handle, instruction)` for each instruction of a piece of text, until it returns false. Bytes
/// that are none are passed over.
template <typename Visit>
void disassemble(const AddressSpace& space, Gva from, size_t size, Visit&& visit) {
  std::vector<std::byte> code(size);
  code.resize(space.read(from, code));
  csh handle = 0;
  if (cs_open(CS_ARCH_X86, CS_MODE_64, &handle) != CS_ERR_OK) return;
  cs_option(handle, CS_OPT_DETAIL, CS_OPT_ON);
  cs_insn* instruction = cs_malloc(handle);
  const auto* bytes = reinterpret_cast<const uint8_t*>(code.data());
  size_t left = code.size();
  uint64_t address = from.value;
  while (left > 0) {
    if (cs_disasm_iter(handle, &bytes, &left, &address, instruction)) {
      if (!visit(handle, *instruction)) break;
    } else {
      ++bytes, --left, ++address;
    }
  }
  cs_free(instruction, 1);
  cs_close(&handle);
}

bool loads_cr3(const cs_insn& instruction) {
  const cs_x86& x86 = instruction.detail->x86;
  return instruction.id == X86_INS_MOV && x86.op_count == 2 && x86.operands[0].type == X86_OP_REG &&
         x86.operands[0].reg == X86_REG_CR3;
}

/// Whether it stores RAX to the place of RAX in struct pt_regs (arch/x86/include/asm/ptrace.h).
bool stores_answer(const cs_insn& instruction) {
  constexpr int64_t place_of_ax = 0x50;
  const cs_x86& x86 = instruction.detail->x86;
  if (instruction.id != X86_INS_MOV || x86.op_count != 2) return false;
  const cs_x86_op& target = x86.operands[0];
  return target.type == X86_OP_MEM && target.mem.disp == place_of_ax && target.mem.base != X86_REG_INVALID &&
         target.mem.base != X86_REG_RIP && target.mem.index == X86_REG_INVALID &&
         x86.operands[1].type == X86_OP_REG && x86.operands[1].reg == X86_REG_RAX;
}

}  // namespace

std::vector<Gva> behind_stores_to_gs(const AddressSpace& space, Gva from, size_t size, uint64_t offset) {
  std::vector<Gva> found;
  disassemble(space, from, size, [&](csh, const cs_insn& instruction) {
    const cs_x86& x86 = instruction.detail->x86;
    if (x86.op_count == 0 || x86.operands[0].type != X86_OP_MEM) return true;
    const cs_x86_op& target = x86.operands[0];
    const uint64_t behind = instruction.address + instruction.size;
    const bool relative = target.mem.base == X86_REG_RIP;
    const uint64_t place = static_cast<uint64_t>(target.mem.disp) + (relative ? behind : 0);
    const bool absolute = relative || target.mem.base == X86_REG_INVALID;
    if (target.mem.segment == X86_REG_GS && absolute && target.mem.index == X86_REG_INVALID &&
        (target.access & CS_AC_WRITE) != 0 && place == offset)
      found.push_back(Gva{behind});
    return true;
  });
  return found;
}

std::vector<Gva> loads_of_cr3(const AddressSpace& space, Gva from, size_t size) {
  std::vector<Gva> found;
  disassemble(space, from, size, [&](csh, const cs_insn& instruction) {
    if (loads_cr3(instruction)) found.push_back(Gva{instruction.address});
    return true;
  });
  return found;
}

std::optional<Gva> behind_store_of_answer(const AddressSpace& space, Gva from, size_t size, Gva called) {
  constexpr int near = 4;  // instructions after the call
  int left = 0;
  std::optional<Gva> found;
  disassemble(space, from, size, [&](csh, const cs_insn& instruction) {
    const cs_x86& x86 = instruction.detail->x86;
    if (instruction.id == X86_INS_CALL && x86.op_count == 1 && x86.operands[0].type == X86_OP_IMM &&
        static_cast<uint64_t>(x86.operands[0].imm) == called.value) {
      left = near;
    } else if (left-- > 0 && stores_answer(instruction)) {
      found = Gva{instruction.address + instruction.size};
    }
    return !found;
  });
  return found;
}

std::string saved_registers_at(const AddressSpace& space, Gva at) {
  std::string found;
  for (const size_t size : {4, 5})  // of the store: some registers take one byte more
    disassemble(space, Gva{at.value - size}, size, [&](csh handle, const cs_insn& instruction) {
      if (instruction.size == size && stores_answer(instruction))
        found = cs_reg_name(handle, instruction.detail->x86.operands[0].mem.base);
      return false;
    });
  return found;
}

std::string cr3_source(const AddressSpace& space, Gva at) {
  std::string source;
  disassemble(space, at, kLongest, [&](csh handle, const cs_insn& instruction) {
    if (loads_cr3(instruction)) source = cs_reg_name(handle, instruction.detail->x86.operands[1].reg);
    return false;
  });
  return source;
}

}  // namespace furnace::guest
