// Which instructions a vCPU that QEMU's TCG emulates must not be single-stepped over.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace furnace::hypervisor {

enum class PassBy : uint8_t {
  /// A single step does no harm.
  Step,
  /// The vCPU must run to the next instruction instead.
  Run,
};

/// Returns how a vCPU gets past the instruction that `code` begins with.
///
/// `Run` is for instructions that lock the bus and for those that wait.
/// - A locked access that TCG can't do in one host instruction (its page holds a watchpoint, or it is not
///   aligned) is emulated with all other vCPUs stopped (accel/tcg/cpu-exec.c, cpu_exec_step_atomic). A single
///   step leaves that function by a long jump, past cpu_exec_exit: the flags that the instruction has set are
///   lost. A `lock cmpxchg` that took a spin lock then looks as if it had failed, and its vCPU waits for
///   itself. Seen with QEMU 7.2; later sources read the same.
/// - `pause` ends a step without being one, so that the instruction after it is stepped over too; `hlt` and
///   `mwait` have no next instruction until an interrupt comes.
///
/// Only the bytes are checked, because the prefixes and opcodes in question are the same in 64-bit and
/// 32-bit code. Code that can't be read (`code` is empty) is not stepped over.
[[nodiscard]] PassBy pass_by(std::span<const std::byte> code);

}  // namespace furnace::hypervisor
