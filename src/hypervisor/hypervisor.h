// What a hypervisor driver offers. Paging, profiles, operating system knowledge and calls live above it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "guest/memory.h"
#include "guest/profile/locate.h"
#include "hypervisor/events.h"
#include "hypervisor/registers.h"

namespace furnace::hypervisor {

enum class RunState : uint8_t { Running, Paused, Gone };

/// What the guest's memory is opened for.
enum class RamAccess : uint8_t { Read, ReadWrite };

/// LibVMI's vmi_mode_t, which GET_ACCESS_MODE answers with.
enum class AccessMode : uint32_t { Xen = 0, Kvm = 1, File = 2 };

/// Something that happened to the VM, seen by `poll`.
enum class Notice : uint8_t {
  Reset,
  Paused,
  Resumed,
  Gone,
  /// The process that frees the guest if ours dies has exited: we must not touch the guest any more.
  Unguarded,
};

class Hypervisor {
 public:
  virtual ~Hypervisor() = default;

  [[nodiscard]] virtual std::string name() const = 0;
  /// The hypervisor's number for the VM.
  [[nodiscard]] virtual uint32_t id() const = 0;
  [[nodiscard]] virtual AccessMode access_mode() const = 0;
  [[nodiscard]] virtual guest::GuestMemory& memory() = 0;
  /// Bytes of RAM.
  [[nodiscard]] virtual uint64_t memory_size() const = 0;

  [[nodiscard]] virtual uint32_t vcpus() const = 0;
  /// Registers of a vCPU; nullopt where there are none to have (a snapshot).
  [[nodiscard]] virtual Result<std::optional<Registers>> registers(uint32_t vcpu) = 0;

  /// Pauses all vCPUs and returns when they have stopped. Pauses are not counted. If this process exits, for
  /// any reason, the guest resumes.
  [[nodiscard]] virtual Status pause() = 0;
  /// Resumes the vCPUs, unless another program had stopped them before `pause`.
  [[nodiscard]] virtual Status resume() = 0;
  [[nodiscard]] virtual RunState state() const = 0;

  /// Descriptors to watch for reading; `poll` then returns what happened, without blocking.
  [[nodiscard]] virtual std::vector<int> descriptors() const { return {}; }
  virtual std::vector<Notice> poll() { return {}; }
  /// Whether `poll` has something to tell that no descriptor shows: it came with the answer to something
  /// else.
  [[nodiscard]] virtual bool has_notice() const { return false; }

  /// Where events come from; nullptr: this driver has none. Its descriptors are among `descriptors`.
  [[nodiscard]] virtual EventSource* events() { return nullptr; }

  /// A profile that the driver brings along (the simulator's); others are searched for in memory.
  [[nodiscard]] virtual std::optional<guest::Kernel> kernel() { return std::nullopt; }
};

}  // namespace furnace::hypervisor
