#include "cli/vm/kvm_probe.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstring>
#include <ctime>
#include <memory>

#include "base/fd.h"
#include "base/file.h"

namespace furnace::cli {
namespace {

using std::chrono::steady_clock;

constexpr size_t kPage = 4096;
constexpr size_t kMemory = 8 * kPage;
// Page tables, then the code (AMD64 Architecture Programmer's Manual, volume 2, 5.3: one page of 2 MB).
constexpr uint64_t kPml4 = 1 * kPage, kPdpt = 2 * kPage, kDirectory = 3 * kPage, kCode = 4 * kPage;
constexpr uint32_t kRounds = 1'000'000;

template <typename... Argument>
Result<int> control(const Fd& file, unsigned long request, const char* what, Argument... argument) {
  const int value = ::ioctl(file.get(), request, argument...);  // NOLINT: variadic
  if (value < 0) return fail_errno("KVM: {}", what);
  return value;
}

using Memory = std::unique_ptr<uint8_t, void (*)(uint8_t*)>;

Result<Memory> map(size_t size, int flags, int file) {
  void* const made = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, flags, file, 0);
  if (made == MAP_FAILED) return fail_errno("KVM: memory");
  if (flags == MAP_SHARED)
    return Memory(static_cast<uint8_t*>(made), [](uint8_t* run) { ::munmap(run, kPage); });
  return Memory(static_cast<uint8_t*>(made), [](uint8_t* guest) { ::munmap(guest, kMemory); });
}

/// mov ecx, rounds; again: dec ecx; jnz again; hlt
void write_guest(uint8_t* memory) {
  constexpr uint64_t present_writable = 3, large = 0x80;
  const auto entry = [&](uint64_t table, uint64_t value) {
    std::memcpy(memory + table, &value, sizeof value);
  };
  entry(kPml4, kPdpt | present_writable);
  entry(kPdpt, kDirectory | present_writable);
  entry(kDirectory, large | present_writable);
  std::array<uint8_t, 10> code{0xb9, 0, 0, 0, 0, 0xff, 0xc9, 0x75, 0xfc, 0xf4};
  std::memcpy(&code[1], &kRounds, sizeof kRounds);
  std::memcpy(memory + kCode, code.data(), code.size());
}

Status enter_long_mode(const Fd& vcpu) {
  kvm_sregs system{};
  FURNACE_CHECK(control(vcpu, KVM_GET_SREGS, "registers", &system));
  constexpr uint64_t protected_mode = 1, paging = 1U << 31, physical_address_extension = 1U << 5;
  constexpr uint64_t long_mode_enabled_and_active = 1U << 8 | 1U << 10;
  system.cr0 |= protected_mode | paging;
  system.cr3 = kPml4;
  system.cr4 |= physical_address_extension;
  system.efer |= long_mode_enabled_and_active;
  constexpr uint8_t code_read_accessed = 11, data_write_accessed = 3;
  const kvm_segment code{.base = 0,
                         .limit = UINT32_MAX,
                         .selector = 8,
                         .type = code_read_accessed,
                         .present = 1,
                         .dpl = 0,
                         .db = 0,
                         .s = 1,
                         .l = 1,
                         .g = 1,
                         .avl = 0,
                         .unusable = 0,
                         .padding = 0};
  system.cs = code;
  for (kvm_segment* each : {&system.ds, &system.es, &system.ss, &system.fs, &system.gs}) {
    *each = code;
    each->selector = 16;
    each->type = data_write_accessed;
    each->l = 0;
    each->db = 1;
  }
  FURNACE_CHECK(control(vcpu, KVM_SET_SREGS, "long mode", &system));
  kvm_regs registers{};
  registers.rip = kCode;
  constexpr uint64_t always_set = 2;
  registers.rflags = always_set;
  FURNACE_CHECK(control(vcpu, KVM_SET_REGS, "registers", &registers));
  return {};
}

/// Interrupts KVM_RUN every few milliseconds, so that a guest that gets nowhere gives the time back.
class Ticks {
 public:
  Ticks() {
    struct sigaction nothing {};
    nothing.sa_handler = [](int) {};
    ::sigaction(SIGALRM, &nothing, &before_);
    constexpr long every = 10'000'000;
    const itimerspec each{{0, every}, {0, every}};
    if (::timer_create(CLOCK_MONOTONIC, nullptr, &timer_) == 0) ::timer_settime(timer_, 0, &each, nullptr);
  }
  ~Ticks() {
    ::timer_delete(timer_);
    ::sigaction(SIGALRM, &before_, nullptr);
  }
  Ticks(const Ticks&) = delete;
  Ticks& operator=(const Ticks&) = delete;

 private:
  timer_t timer_{};
  struct sigaction before_ {};
};

Status run_to_halt(const Fd& vcpu, const kvm_run& run) {
  // A CPU takes about a millisecond for it; one that is emulated, seconds.
  constexpr std::chrono::milliseconds enough(100);
  const Ticks ticks;
  const auto start = steady_clock::now();
  while (steady_clock::now() - start < enough) {
    if (::ioctl(vcpu.get(), KVM_RUN, 0) < 0) {  // NOLINT: variadic
      if (errno == EINTR || errno == EAGAIN) continue;
      return fail_errno("KVM: run");
    }
    if (run.exit_reason == KVM_EXIT_HLT) return {};
    if (run.exit_reason != KVM_EXIT_INTR)
      return fail(Errc::Unavailable, "KVM doesn't run 64-bit code (exit {})", run.exit_reason);
  }
  return fail(Errc::Unavailable, "KVM emulates here, slower than TCG: this host is probably a guest itself");
}

}  // namespace

Status kvm_usable() {
  FURNACE_TRY(const Fd kvm, open_file("/dev/kvm", O_RDWR));
  FURNACE_TRY(const int version, control(kvm, KVM_GET_API_VERSION, "version", 0));
  if (version != KVM_API_VERSION) return fail(Errc::Unavailable, "/dev/kvm speaks API {}", version);
  FURNACE_TRY(const int made, control(kvm, KVM_CREATE_VM, "VM", 0));
  const Fd vm(made);
  FURNACE_TRY(const Memory memory, map(kMemory, MAP_PRIVATE | MAP_ANONYMOUS, -1));
  write_guest(memory.get());
  kvm_userspace_memory_region region{};
  region.memory_size = kMemory;
  region.userspace_addr = reinterpret_cast<uint64_t>(memory.get());  // NOLINT: an address for the kernel
  FURNACE_CHECK(control(vm, KVM_SET_USER_MEMORY_REGION, "memory", &region));
  FURNACE_TRY(const int created, control(vm, KVM_CREATE_VCPU, "vCPU", 0));
  const Fd vcpu(created);
  FURNACE_TRY(const Memory shared, map(kPage, MAP_SHARED, vcpu.get()));
  FURNACE_CHECK(enter_long_mode(vcpu));
  return run_to_halt(vcpu, *reinterpret_cast<const kvm_run*>(shared.get()));  // NOLINT: the kernel's layout
}

}  // namespace furnace::cli
