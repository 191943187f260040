// The C++ API of a tenant's app. An app is a class in a shared object that furnace-app hosts as it hosts a
// Python file:
//
//     #include <furnace/app.h>
//     using namespace furnace::tenant;
//
//     class Hello : public App {
//      public:
//       explicit Hello(Host& host) : host_(host) {
//         auto jiffies = host_.symbol("jiffies").and_then([&](Gva at) { return host_.read<uint64_t>(at); });
//         host_.log(jiffies ? std::to_string(*jiffies) : jiffies.error().message);
//         host_.exit();
//       }
//      private:
//       Host& host_;
//     };
//     FURNACE_APP(Hello)
//
// g++ -std=c++20 -shared -fPIC hello.cc -o hello.so $(pkg-config --cflags furnace); furnace app -c hello --u2
// my-app ...
#pragma once

#include <array>
#include <cstring>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include "furnace/types.h"

namespace furnace::tenant {

/// A process, as GET process_list tells it.
struct ProcessEntry {
  Pid pid{};
  std::string name;  ///< task_struct.comm
  Gva task;          ///< its task_struct
};

/// An argument or a result of a call by name: a number, or text or bytes.
using Argument = std::variant<uint64_t, std::string_view>;
using Value = std::variant<std::monostate, uint64_t, std::string, std::vector<ProcessEntry>>;

/// A read in a batch: all of them go in one message. `got` is how many bytes there were.
struct Read {
  Gva address;
  std::span<std::byte> out;
  Pid pid = Pid::Kernel;
  size_t got = 0;
};

enum class EventKind : uint8_t {
  Cr3Write,      ///< the address space of a vCPU changes
  Breakpoint,    ///< an instruction is reached
  MemoryAccess,  ///< memory is read, written or executed
  Syscall,       ///< a system call is entered, and may return
  ProcessCreated,
  ProcessExecuted,  ///< a program was loaded
  ProcessExited,
  CredentialsChanged,  ///< a process gets other user ids or capabilities
  ModuleLoaded,        ///< a kernel module is about to run its init function
  GuestRequest,        ///< a process of the guest asks for attention (HVMOP_guest_request_vm_event of Xen)
};
enum Access : uint8_t { kRead = 1, kWrite = 2, kExecute = 4 };

/// An event to be told of. `sync`: the guest stands until the callback returns.
struct EventRequest {
  EventKind kind = EventKind::Cr3Write;
  bool sync = false;
  Gva address{};  ///< Breakpoint, MemoryAccess
  /// MemoryAccess: instead of `address`, accesses of the kernel through its direct map of memory.
  std::optional<Gpa> physical{};
  uint64_t length = 8;            ///< MemoryAccess, bytes
  uint8_t access = kWrite;        ///< MemoryAccess, bits of Access
  Pid pid = Pid::Kernel;          ///< in this process alone; Kernel: in any
  std::optional<uint32_t> uid{};  ///< in processes of this user alone
  std::string_view syscall{};     ///< Syscall: this one alone, by its name; empty: all
  bool returns = false;           ///< Syscall: also when it returns
  /// Called with the reason if the event ends by itself: a reboot ends Breakpoint and MemoryAccess, the end
  /// of the VMI partition all.
  std::function<void(std::string_view reason)> on_end{};
};

/// An argument of a system call by its name in the manual page.
struct SyscallArgument {
  std::string_view name;
  uint64_t value = 0;
  std::string_view text{};  ///< a path, where it could be read
};
struct UserIds {
  uint32_t uid = 0, euid = 0;
  uint64_t capabilities = 0;  ///< effective, bits
};

/// What happened, the registers of the vCPU, and the process that ran on it.
struct Event {
  uint64_t identifier = 0;
  uint64_t cr3 = 0, rip = 0, rbp = 0, rsp = 0, rax = 0, rdi = 0, rsi = 0, rdx = 0, r10 = 0, r8 = 0, r9 = 0;
  uint32_t vcpu = 0, uid = 0;
  Pid pid{}, ppid{};
  std::string_view process{};                        ///< valid during the callback
  Gva address{};                                     ///< MemoryAccess
  uint8_t access = 0;                                ///< MemoryAccess
  std::optional<uint64_t> old_value{}, new_value{};  ///< MemoryAccess: of a write of up to 8 bytes
  uint64_t lost = 0;                                 ///< events before it that found the app's queue full
  uint32_t timed_out = 0;         ///< `sync` events before it whose callback took too long: the guest ran on
  int32_t tid = 0;                ///< the thread that ran
  std::optional<Gpa> physical{};  ///< MemoryAccess that was asked for by it
  std::optional<uint64_t> old_cr3{};  ///< Cr3Write
  uint32_t syscall = 0;               ///< Syscall: its number
  std::string_view syscall_name{};
  std::span<const SyscallArgument> arguments{};  ///< of calls that nobody knows: "arg0" to "arg5"
  bool is_return = false;
  int64_t return_value = 0;
  Pid subject_pid{}, subject_ppid{};  ///< ProcessCreated: the new process
  std::string_view subject_name{};
  std::string_view text{};                   ///< path of the program executed, name of the module
  std::optional<UserIds> before{}, after{};  ///< CredentialsChanged
  std::optional<int32_t> exit_status{};      ///< ProcessExited, as wait(2) gives it
};

/// What an app runs on: the VM, storage, the backend, timers. Lives as long as the app; to be used from its
/// own thread.

/// Whether a message to the backend may be lost with a process on its way.
enum class Delivery : uint8_t { AtMostOnce, Durable };

class Host {
 public:
  virtual ~Host() = default;

  // ---- memory. Reads make no allocation; a short read is an error.
  /// Reads a number, a pointer, or any structure that can be copied as bytes.
  template <typename T>
  [[nodiscard]] Result<T> read(Gva from, Pid pid = Pid::Kernel) {
    static_assert(std::is_trivially_copyable_v<T>);
    T value;
    if (auto done = read(from, std::as_writable_bytes(std::span(&value, 1)), pid); !done)
      return tl::unexpected<Error>(std::move(done.error()));
    return value;
  }
  template <typename T>
  [[nodiscard]] Result<T> read(Gpa from) {
    static_assert(std::is_trivially_copyable_v<T>);
    T value;
    if (auto done = read(from, std::as_writable_bytes(std::span(&value, 1))); !done)
      return tl::unexpected<Error>(std::move(done.error()));
    return value;
  }
  /// Fills `out`, of 1 to 2^24 - 1 bytes.
  [[nodiscard]] virtual Status read(Gva from, std::span<std::byte> out, Pid pid = Pid::Kernel) = 0;
  [[nodiscard]] virtual Status read(Gpa from, std::span<std::byte> out) = 0;
  /// Up to 1000 reads in one message. An unmapped one leaves its `got` short; that is no error.
  [[nodiscard]] virtual Status read_many(std::span<Read> reads) = 0;
  /// Text up to its NUL, at most 4096 bytes.
  [[nodiscard]] virtual Result<std::string> read_text(Gva from, Pid pid = Pid::Kernel) = 0;
  /// Returns how many bytes were written: all of them, or up to a page that is not there.
  [[nodiscard]] virtual Result<size_t> write(Gva to, std::span<const std::byte> data,
                                             Pid pid = Pid::Kernel) = 0;
  [[nodiscard]] virtual Result<size_t> write(Gpa to, std::span<const std::byte> data) = 0;
  template <typename T>
  [[nodiscard]] Status write_value(Gva to, const T& value, Pid pid = Pid::Kernel) {
    static_assert(std::is_trivially_copyable_v<T>);
    auto done = write(to, std::as_bytes(std::span(&value, 1)), pid);
    return done ? Status() : tl::unexpected<Error>(std::move(done.error()));
  }

  // ---- the kernel
  /// A symbol's address in the running guest.
  [[nodiscard]] virtual Result<Gva> symbol(std::string_view name) = 0;
  /// Byte offset of a member; nested ones as "a.b".
  [[nodiscard]] virtual Result<uint64_t> offset(std::string_view structure, std::string_view member) = 0;
  [[nodiscard]] virtual Result<Gpa> translate(Gva address, Pid pid = Pid::Kernel) = 0;
  [[nodiscard]] virtual Result<std::vector<ProcessEntry>> processes() = 0;

  // ---- the VM
  /// A register of a vCPU by name: "rip", "cr3", "gs_base", ...
  [[nodiscard]] virtual Result<uint64_t> vcpu_register(std::string_view name, uint32_t vcpu = 0) = 0;
  [[nodiscard]] virtual Status pause() = 0;
  [[nodiscard]] virtual Status resume() = 0;
  /// Any call of the protocol by its name ("get_memsize"), arguments in the order of docs/calls.md.
  [[nodiscard]] virtual Result<Value> call(std::string_view name, std::span<const Argument> arguments) = 0;

  // ---- events, timers, the backend
  /// Callbacks come between events_start() and events_stop(); those of system calls always. Returns the
  /// event's id.
  [[nodiscard]] virtual Result<uint64_t> on_event(const EventRequest& request,
                                                  std::function<void(const Event&)> callback) = 0;
  [[nodiscard]] virtual Status clear_event(uint64_t identifier) = 0;
  [[nodiscard]] virtual Status events_start() = 0;
  [[nodiscard]] virtual Status events_stop() = 0;
  /// Calls back every so many seconds; 0: at every turn of the loop. Returns the timer's id.
  virtual uint64_t add_timer(double seconds, std::function<void()> callback) = 0;
  virtual bool remove_timer(uint64_t timer) = 0;
  /// Texts of the backend: to this app, or (`broadcast`) to all.
  virtual void on_backend_message(std::function<void(std::string_view text, bool broadcast)> callback) = 0;
  /// The same for messages of bytes.
  virtual void on_backend_bytes(
      std::function<void(std::span<const std::byte> data, bool broadcast)> callback) = 0;
  /// One way to the backend. An error: so much waits for it already that this message was not taken.
  /// Delivery::Durable: it is on disk when this returns, and is delivered whatever ends and starts again
  /// meanwhile, in order, once.
  [[nodiscard]] virtual Status notify(std::string_view text, Delivery delivery = Delivery::AtMostOnce) = 0;
  [[nodiscard]] virtual Status notify(std::span<const std::byte> data,
                                      Delivery delivery = Delivery::AtMostOnce) = 0;
  /// Asks the backend and waits for its answer, so many seconds at most.
  [[nodiscard]] virtual Result<std::string> request(std::string_view text, double timeout = 30) = 0;
  [[nodiscard]] virtual Result<std::vector<std::byte>> request(std::span<const std::byte> data,
                                                               double timeout = 30) = 0;

  // ---- storage
  /// Keeps a text under a key of 1 to 16 characters of \w and '-'; on disk when it returns.
  [[nodiscard]] virtual Status store(std::string_view key, std::string_view text) = 0;
  [[nodiscard]] virtual Result<std::string> load(std::string_view key) = 0;
  [[nodiscard]] virtual Status remove(std::string_view key) = 0;
  /// The stored keys, with the bytes of each value.
  [[nodiscard]] virtual Result<std::vector<std::pair<std::string, uint64_t>>> stored() = 0;

  // ---- the app itself
  [[nodiscard]] virtual std::string_view app_id() const = 0;
  [[nodiscard]] virtual std::string_view metadata() const = 0;
  virtual void log(std::string_view text) = 0;
  /// Ends the app when the callback that is running returns.
  virtual void exit() = 0;
};

/// A tenant's app: its constructor takes a Host&.
class App {
 public:
  virtual ~App() = default;
  /// Called at the end, before the destructor.
  virtual void shutdown() {}
};

}  // namespace furnace::tenant

/// Makes a class the app of a shared object.
#define FURNACE_APP(Class)                                                                  \
  extern "C" __attribute__((visibility("default"))) const uint32_t furnace_app_abi =        \
      furnace::tenant::kAbiVersion;                                                         \
  extern "C" __attribute__((visibility("default"))) furnace::tenant::App* furnace_app_make( \
      furnace::tenant::Host& host) {                                                        \
    return new Class(host);                                                                 \
  }
