// What a confined VMI partition asks the broker that holds the hypervisor's control for it: one message each
// way, in turn. Between two processes of one build: structures as they are.
#pragma once

#include <array>
#include <cstdint>

#include "base/fd.h"
#include "hypervisor/hypervisor.h"

namespace furnace::hypervisor::broker {

/// All that can be asked for. There is no request that holds a text.
enum class Ask : uint8_t {
  // Of every hypervisor
  Registers,
  Pause,
  Resume,
  State,
  Poll,
  Describe,  ///< what a visitor needs to know
  // Of Xen: events as the driver offers them
  Watch,
  Unwatch,
  Forget,
  Take,
  Proceed,
  // Of QEMU: memory that it does not share, and its gdb stub
  Read,
  Write,
  OpenStub,
  ReopenStub,
  CloseStub,
  Interrupt,
  Run,  ///< has no answer
  Step,
  RunOne,
  Insert,
  Remove,
  StubRegisters,
  SetInstructionPointer,
};

/// Which vCPU, watch or stub point is meant is `number`, or `kind`, `address` and `length`.
struct Request {
  Ask ask{};
  uint8_t kind = 0;                   ///< Watch: EventKind; Insert, Remove: StubPoint::Kind
  uint8_t access = 0, has_table = 0;  ///< Watch
  int32_t levels = 0;                 ///< Watch: of the table
  uint64_t address = 0, length = 0;   ///< RunOne: milliseconds; Read, Write: of the first place
  uint64_t root = 0;                  ///< Watch: of the table
  uint64_t number = 0;                ///< Registers, Step, ...: the vCPU; Unwatch: the watch
};

static_assert(std::is_trivially_copyable_v<Registers>);

struct SentEvent {
  uint64_t watch = 0, address = 0;
  uint32_t vcpu = 0;
  uint8_t access = 0;
  uint8_t has_old = 0, has_new = 0;
  uint64_t old_value = 0, new_value = 0;
  Registers registers;
};

/// What is read in place of a breakpoint.
struct SentByte {
  uint64_t gpa = 0;
  uint64_t byte = 0;
};

/// Why the gdb stub has stopped a guest, and registers that its driver will ask for next.
struct SentStop {
  uint32_t vcpu = 0;
  uint8_t by_debug = 0, has_watch = 0, kind = 0;  ///< `kind` of the watchpoint
  uint64_t address = 0;                           ///< of the watchpoint
};
struct SentVcpu {
  uint64_t vcpu = 0;
  Registers registers;
};

/// Guest memory to be read, and what is there.
struct SentPlace {
  uint64_t gpa = 0, length = 0;
};
struct SentCell {
  static constexpr size_t kMost = 64;
  uint64_t length = 0;
  std::array<std::byte, kMost> bytes{};
};
/// Where a piece of the guest's RAM is in the QEMU process.
struct SentRam {
  uint64_t start = 0, end = 0, host = 0;
};
struct SentSetup {
  uint32_t vcpus = 1;
  uint8_t tcg = 0, loses_flags = 0;
};
inline constexpr size_t kSharedBytes = 1 << 20;  ///< of memory that larger pieces go through

inline constexpr size_t kMostItems = 256;  ///< of a message

/// The items follow: registers, events, notices, places, or the bytes that are covered since.
struct Answer {
  uint8_t failed = 0;
  Errc code{};
  RunState state{};
  uint8_t running = 0, held_elsewhere = 0;  ///< of QEMU's gdb stub
  uint32_t items = 0;
  uint64_t number = 0;  ///< of a watch; of bytes that were read or written; OpenStub: of vCPUs
  std::array<char, 200> why{};
};

/// What a broker reports without being asked, in the form of an answer: a stop with its items, that the stub
/// failed, or that there is something to ask `Poll` for.
enum class News : uint64_t { Stop, Failed, Look };

[[nodiscard]] Answer failed(const Error& why);
[[nodiscard]] Answer said(const Status& status);

[[nodiscard]] SentEvent pack(const GuestEvent& event);
[[nodiscard]] GuestEvent unpack(const SentEvent& sent);

/// A message of a structure and items. False at the end of the connection, or of a message of another form.
[[nodiscard]] bool send_message(const Fd& socket, std::span<const std::byte> head,
                                std::span<const std::byte> items);
/// Where a message is received: large, and used again and again.
class Room {
 public:
  Room();
  /// Returns the bytes of the items, which stay until the next call; nothing if the head did not come.
  /// `flags` of recv(2).
  [[nodiscard]] std::optional<std::span<const std::byte>> receive(const Fd& socket, std::span<std::byte> head,
                                                                  int flags = 0);

 private:
  std::vector<std::byte> bytes_;
};

/// The two ends of a connection, with room for the largest message: the broker's first.
[[nodiscard]] Result<std::pair<Fd, Fd>> connection();

template <typename T>
[[nodiscard]] std::span<std::byte> bytes_of(T& value) {
  return std::as_writable_bytes(std::span(&value, 1));
}
/// Items out of a message: as many as fit.
template <typename T>
[[nodiscard]] std::vector<T> items_of(std::span<const std::byte> bytes) {
  std::vector<T> items(bytes.size() / sizeof(T));
  if (!items.empty()) std::memcpy(items.data(), bytes.data(), items.size() * sizeof(T));
  return items;
}
/// Adds an item to an answer, unless it is full.
template <typename T>
void add(std::vector<std::byte>& items, Answer& answer, T item) {
  if (answer.items >= kMostItems) return;
  const auto bytes = bytes_of(item);
  items.insert(items.end(), bytes.begin(), bytes.end());
  ++answer.items;
}

}  // namespace furnace::hypervisor::broker
