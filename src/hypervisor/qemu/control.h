// All that the driver asks of a QEMU, beside its guest's memory: a fixed list of requests. Who holds QEMU's
// connections answers them (host.h), or the broker that does so outside of a confined partition
// (brokered.h).
#pragma once

#include <chrono>
#include <optional>
#include <vector>

#include "hypervisor/hypervisor.h"
#include "hypervisor/qemu/stub.h"

namespace furnace::hypervisor {

class QemuControl {
 public:
  virtual ~QemuControl() = default;

  /// Registers of a vCPU, whether it runs or is paused.
  [[nodiscard]] virtual Result<Registers> registers(uint32_t vcpu) = 0;
  /// Keeps the guest stopped from now on; while the stub is open, the caller interrupts it.
  [[nodiscard]] virtual Status pause() = 0;
  /// Ends that; while the stub is open, the caller runs it.
  [[nodiscard]] virtual Status resume() = 0;
  [[nodiscard]] virtual RunState state() const = 0;
  [[nodiscard]] virtual std::vector<int> descriptors() const = 0;
  virtual std::vector<Notice> poll() = 0;
  [[nodiscard]] virtual bool has_notice() const = 0;  ///< see Hypervisor

  /// How many vCPUs there were when the stub was opened last, or at the start.
  [[nodiscard]] virtual uint32_t vcpus() const = 0;

  // The gdb stub. `run` resumes a paused guest, unless another program has paused it.

  /// Opens it; the guest is paused afterwards.
  [[nodiscard]] virtual Status open_stub() = 0;
  /// Opens it again after its connection was lost; all points are lost, too.
  [[nodiscard]] virtual Status reopen_stub() = 0;
  /// Removes all points; the guest runs on, unless it is paused.
  virtual void close_stub() = 0;
  /// Whether the stub's guest runs, as far as is known.
  [[nodiscard]] virtual bool running() const = 0;
  /// Returns true if another program has paused the guest.
  [[nodiscard]] virtual bool held_elsewhere() const = 0;
  /// Whether `take_stop` has one without a descriptor being ready.
  [[nodiscard]] virtual bool has_stop() const { return false; }
  /// The stop of a guest that ran, if it has stopped.
  [[nodiscard]] virtual Result<std::optional<Stop>> take_stop() = 0;
  // See Stub.
  [[nodiscard]] virtual Result<Stop> interrupt() = 0;
  [[nodiscard]] virtual Status run() = 0;
  [[nodiscard]] virtual Result<Stop> step(uint32_t vcpu) = 0;
  [[nodiscard]] virtual Result<Stop> run_one(uint32_t vcpu, std::chrono::milliseconds time) = 0;
  [[nodiscard]] virtual Status insert(const StubPoint& point) = 0;
  [[nodiscard]] virtual Status remove(const StubPoint& point) = 0;
  [[nodiscard]] virtual Result<Registers> stub_registers(uint32_t vcpu) = 0;
  [[nodiscard]] virtual Status set_instruction_pointer(uint32_t vcpu, uint64_t address) = 0;
};

}  // namespace furnace::hypervisor
