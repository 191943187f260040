#include "hypervisor/instruction.h"

#include <capstone/capstone.h>

#include <algorithm>
#include <string>

namespace furnace::hypervisor {
namespace {

bool in_group(const cs_insn& instruction, std::initializer_list<int> groups) {
  const cs_detail& detail = *instruction.detail;
  return std::any_of(detail.groups, detail.groups + detail.groups_count, [&](uint8_t group) {
    return std::find(groups.begin(), groups.end(), static_cast<int>(group)) != groups.end();
  });
}

/// Value of a register that may be part of an address; nullopt for those we don't know.
std::optional<uint64_t> value_of(x86_reg reg, csh handle, const Registers& registers) {
  if (reg == X86_REG_INVALID) return 0;
  const char* name = cs_reg_name(handle, reg);
  const auto known = register_named(name == nullptr ? "" : name);
  return known ? registers.get(*known) : std::nullopt;
}

std::optional<uint64_t> segment_base(x86_reg segment, const Registers& registers) {
  if (segment == X86_REG_FS) return registers.get(Reg::FsBase);
  if (segment == X86_REG_GS) return registers.get(Reg::GsBase);
  return 0;
}

std::optional<MemoryOperand> explicit_operand(const cs_insn& instruction, const cs_x86_op& operand,
                                              csh handle, const Registers& registers) {
  const auto& memory = operand.mem;
  const auto base = memory.base == X86_REG_RIP ? instruction.address + instruction.size
                                               : value_of(memory.base, handle, registers);
  const auto index = value_of(memory.index, handle, registers);
  const auto segment = segment_base(memory.segment, registers);
  if (!base || !index || !segment) return std::nullopt;
  return MemoryOperand{
      *segment + *base + *index * static_cast<uint64_t>(memory.scale) + static_cast<uint64_t>(memory.disp),
      operand.size, (operand.access & CS_AC_READ) != 0, (operand.access & CS_AC_WRITE) != 0};
}

bool is_string_store(const cs_insn& instruction) {
  switch (instruction.id) {
    case X86_INS_STOSB:
    case X86_INS_STOSW:
    case X86_INS_STOSD:
    case X86_INS_STOSQ:
    case X86_INS_MOVSB:
    case X86_INS_MOVSW:
    case X86_INS_MOVSQ:
      return true;
    default:
      return false;
  }
}

}  // namespace

Disassembler::Disassembler() {
  if (cs_open(CS_ARCH_X86, CS_MODE_64, &handle_) != CS_ERR_OK) return;
  cs_option(handle_, CS_OPT_DETAIL, CS_OPT_ON);
  scratch_ = cs_malloc(handle_);
}

Disassembler::~Disassembler() {
  if (scratch_ != nullptr) cs_free(scratch_, 1);
  if (handle_ != 0) cs_close(&handle_);
}

std::optional<Instruction> Disassembler::decode(std::span<const std::byte> code, uint64_t address,
                                                const Registers& registers, bool ran) const {
  if (scratch_ == nullptr) return std::nullopt;
  const auto* bytes = reinterpret_cast<const uint8_t*>(code.data());
  size_t size = code.size();
  uint64_t at = address;
  if (!cs_disasm_iter(handle_, &bytes, &size, &at, scratch_)) return std::nullopt;
  const cs_insn& found = *scratch_;
  const cs_x86& x86 = found.detail->x86;
  Instruction instruction;
  instruction.length = found.size;
  // endbr64 is a nop with a REP prefix and one operand to processors, and to Capstone 4, that don't know it.
  instruction.no_effect = found.id == X86_INS_NOP || found.id == X86_INS_ENDBR64;
  instruction.goes_elsewhere =
      in_group(found, {CS_GRP_JUMP, CS_GRP_CALL, CS_GRP_RET, CS_GRP_IRET, CS_GRP_BRANCH_RELATIVE});
  instruction.enters_kernel = found.id == X86_INS_SYSCALL || found.id == X86_INS_SYSENTER ||
                              found.id == X86_INS_INT || found.id == X86_INS_INT3 || found.id == X86_INS_INT1;
  instruction.repeats = x86.prefix[0] == X86_PREFIX_REP || x86.prefix[0] == X86_PREFIX_REPNE;
  for (uint8_t i = 0; i < x86.op_count && !instruction.no_effect; ++i) {
    if (x86.operands[i].type != X86_OP_MEM || found.id == X86_INS_LEA) continue;
    auto operand = explicit_operand(found, x86.operands[i], handle_, registers);
    if (!operand) continue;
    // Forward, as the direction flag is clear in compiled code.
    if (ran && is_string_store(found)) operand->address -= operand->bytes;
    if (is_string_store(found) && i == 0) operand->writes = true;
    instruction.memory.push_back(*operand);
  }
  const bool pushes = found.id == X86_INS_PUSH || found.id == X86_INS_CALL;
  const bool pops = found.id == X86_INS_POP || found.id == X86_INS_RET;
  if (pushes || pops) {
    const uint64_t stack = registers.rsp();
    const bool below = pushes != ran;  // a push goes below where the pointer stood before it
    if (pushes) instruction.memory.push_back({below ? stack - 8 : stack, 8, false, true});
    if (pops) instruction.memory.push_back({ran ? stack - 8 : stack, 8, true, false});
  }
  return instruction;
}

}  // namespace furnace::hypervisor
