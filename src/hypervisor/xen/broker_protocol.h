// What a confined VMI partition asks the broker that holds Xen's control for it: one message each way, in
// turn. Between two processes of one build: structures as they are.
#pragma once

#include <array>
#include <cstdint>

#include "base/fd.h"
#include "hypervisor/hypervisor.h"

namespace furnace::hypervisor::broker {

enum class Ask : uint8_t { Registers, Pause, Resume, State, Watch, Unwatch, Forget, Take, Proceed, Poll };

struct Request {
  Ask ask{};
  EventKind kind{};                   ///< Watch
  uint8_t access = 0, has_table = 0;  ///< Watch
  int32_t levels = 0;                 ///< Watch: of the table
  uint64_t address = 0, length = 0;   ///< Watch
  uint64_t root = 0;                  ///< Watch: of the table
  uint64_t number = 0;                ///< Registers: the vCPU; Unwatch: the watch
};

inline constexpr std::array kRegisters = {
    "rax",  "rbx", "rcx", "rdx", "rsi", "rdi", "rbp",    "rsp",     "r8",      "r9",        "r10",
    "r11",  "r12", "r13", "r14", "r15", "rip", "rflags", "cr0",     "cr2",     "cr3",       "cr4",
    "efer", "cs",  "ss",  "ds",  "es",  "fs",  "gs",     "fs_base", "gs_base", "gdtr_base", "idtr_base"};

struct SentRegisters {
  uint64_t present = 0;  ///< a bit for each of kRegisters
  std::array<uint64_t, kRegisters.size()> values{};
};

struct SentEvent {
  uint64_t watch = 0, address = 0;
  uint32_t vcpu = 0;
  uint8_t access = 0;
  uint8_t has_old = 0, has_new = 0;
  uint64_t old_value = 0, new_value = 0;
  SentRegisters registers;
};

/// What is read in place of a breakpoint.
struct SentByte {
  uint64_t gpa = 0;
  uint64_t byte = 0;
};

inline constexpr size_t kMostItems = 250;  ///< of an answer

/// The items follow: registers, events, notices, or the bytes that are covered since.
struct Answer {
  uint8_t failed = 0;
  Errc code{};
  RunState state{};
  uint32_t items = 0;
  uint64_t number = 0;  ///< of a watch
  std::array<char, 200> why{};
};

[[nodiscard]] SentRegisters pack(const Registers& registers);
[[nodiscard]] Registers unpack(const SentRegisters& sent);
[[nodiscard]] SentEvent pack(const GuestEvent& event);
[[nodiscard]] GuestEvent unpack(const SentEvent& sent);

/// A message of a structure and items. False at the end of the connection, or of a message of another form.
[[nodiscard]] bool send_message(const Fd& socket, std::span<const std::byte> head,
                                std::span<const std::byte> items);
/// Returns the bytes of the items, nothing if the head did not come.
[[nodiscard]] std::optional<std::vector<std::byte>> receive_message(const Fd& socket,
                                                                    std::span<std::byte> head);

template <typename T>
[[nodiscard]] std::span<std::byte> bytes_of(T& value) {
  return std::as_writable_bytes(std::span(&value, 1));
}
/// Items out of a message: as many as fit.
template <typename T>
[[nodiscard]] std::vector<T> items_of(std::span<const std::byte> bytes) {
  std::vector<T> items(bytes.size() / sizeof(T));
  std::memcpy(items.data(), bytes.data(), items.size() * sizeof(T));
  return items;
}

}  // namespace furnace::hypervisor::broker
