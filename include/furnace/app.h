// The C++ API of a tenant's app. An app is a class in a shared object. `furnace app -c FILE` loads FILE.so
// and creates one object of the class:
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

/// A process, as the call process_list reports it.
struct ProcessEntry {
  Pid pid{};
  std::string name;  ///< task_struct.comm
  Gva task;          ///< its task_struct
};

/// An argument of Host::call: a number, or text or bytes.
using Argument = std::variant<uint64_t, std::string_view>;
/// The result of Host::call. A call that only has a status gives std::monostate.
using Value = std::variant<std::monostate, uint64_t, std::string, std::vector<ProcessEntry>>;

/// One read of Host::read_many.
struct Read {
  Gva address;               ///< the first byte to read
  std::span<std::byte> out;  ///< filled from its beginning; 1 to 2^24 - 1 bytes
  Pid pid = Pid::Kernel;     ///< the address space
  size_t got = 0;            ///< result: how many bytes of `out` are valid
};

/// What an event reports (docs/events.md).
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
/// Bits of an access to memory.
enum Access : uint8_t { kRead = 1, kWrite = 2, kExecute = 4 };

/// An event to subscribe to. With `sync`, the guest stays paused until the callback returns, but no longer
/// than the operator's watchdog allows (1 s by default).
struct EventRequest {
  EventKind kind = EventKind::Cr3Write;
  bool sync = false;
  Gva address{};  ///< Breakpoint, MemoryAccess
  /// MemoryAccess: instead of `address`, accesses of the kernel through its direct map of memory.
  std::optional<Gpa> physical{};
  uint64_t length = 8;            ///< MemoryAccess: in bytes, 1 to 1 MB
  uint8_t access = kWrite;        ///< MemoryAccess: bits of Access
  Pid pid = Pid::Kernel;          ///< only in this process; Kernel: in all
  std::optional<uint32_t> uid{};  ///< only in processes of this user
  std::string_view syscall{};     ///< Syscall: only this one, by name; empty: all
  bool returns = false;           ///< Syscall: report the return too
  /// Called with the reason if the event ends by itself. A reboot ends Breakpoint, MemoryAccess and the
  /// events of one process. All events end when the VMI partition exits or its connection is lost.
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

/// An event: what happened, the registers of the vCPU, and the process that ran on it. Members without a
/// kind are valid for all kinds. Views and spans are valid until the callback returns.
struct Event {
  uint64_t identifier = 0;
  uint64_t cr3 = 0, rip = 0, rbp = 0, rsp = 0, rax = 0, rdi = 0, rsi = 0, rdx = 0, r10 = 0, r8 = 0, r9 = 0;
  uint32_t vcpu = 0, uid = 0;
  Pid pid{}, ppid{};
  std::string_view process{};                        ///< task_struct.comm
  Gva address{};                                     ///< MemoryAccess
  uint8_t access = 0;                                ///< MemoryAccess
  std::optional<uint64_t> old_value{}, new_value{};  ///< MemoryAccess: of a write of up to 8 bytes
  uint64_t lost = 0;                  ///< events before this one that were dropped: the app's queue was full
  uint32_t timed_out = 0;             ///< `sync` events before this one whose callback took too long
  int32_t tid = 0;                    ///< the thread that ran
  std::optional<Gpa> physical{};      ///< MemoryAccess with EventRequest::physical
  std::optional<uint64_t> old_cr3{};  ///< Cr3Write
  uint32_t syscall = 0;               ///< Syscall: its number
  std::string_view syscall_name{};
  std::span<const SyscallArgument> arguments{};  ///< Syscall; "arg0" to "arg5" if the call is unknown
  bool is_return = false;                        ///< Syscall: it returns, with `return_value`
  int64_t return_value = 0;
  Pid subject_pid{}, subject_ppid{};  ///< ProcessCreated: the new process
  std::string_view subject_name{};
  std::string_view text{};                   ///< ProcessExecuted: path of the program; ModuleLoaded: name
  std::optional<UserIds> before{}, after{};  ///< CredentialsChanged
  std::optional<int32_t> exit_status{};      ///< ProcessExited, as wait(2) gives it
};

/// How a message to the backend is delivered.
enum class Delivery : uint8_t {
  AtMostOnce,  ///< it may be lost if a process on its way exits
  Durable,     ///< it is stored on disk, and delivered even if processes restart
};

/// What an app can do: read its VM, receive events, store values, send messages. It exists as long as the
/// app.
///
/// Threads: call its functions only from the app's own thread, which also runs all callbacks, one at a time.
/// A callback may call any function, and remove its own event or timer. While it runs, other events wait;
/// with EventRequest::sync the guest waits too. An exception that leaves a callback ends the app: its log has
/// the text.
///
/// Errors: a function that fails returns an Error. If the VMI or FAC partition gives no answer, it fails
/// after 30 s.
class Host {
 public:
  virtual ~Host() = default;

  // ---- memory. Reads allocate no memory. A read that gets fewer bytes than asked for is an error.
  /// Reads a number, a pointer, or any structure that can be copied as bytes. `pid` selects the address
  /// space.
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
  /// Fills `out`, which has 1 to 2^24 - 1 bytes. Fails, and leaves `out` unchanged, if any byte is
  /// not mapped.
  [[nodiscard]] virtual Status read(Gva from, std::span<std::byte> out, Pid pid = Pid::Kernel) = 0;
  [[nodiscard]] virtual Status read(Gpa from, std::span<std::byte> out) = 0;
  /// Executes up to 1000 reads in one message and sets `got` of each. An unmapped address is no error: its
  /// `got` is smaller than its `out`. Fails if the message as a whole fails.
  [[nodiscard]] virtual Status read_many(std::span<Read> reads) = 0;
  /// Reads a text up to its NUL, at most 4096 bytes, and makes it valid UTF-8.
  [[nodiscard]] virtual Result<std::string> read_text(Gva from, Pid pid = Pid::Kernel) = 0;
  /// Writes `data`. Returns how many bytes were written: all, or those before the first missing page. Fails
  /// if the operator forbids writes.
  [[nodiscard]] virtual Result<size_t> write(Gva to, std::span<const std::byte> data,
                                             Pid pid = Pid::Kernel) = 0;
  [[nodiscard]] virtual Result<size_t> write(Gpa to, std::span<const std::byte> data) = 0;
  /// Writes a number or a structure, at a virtual address.
  template <typename T>
  [[nodiscard]] Status write_value(Gva to, const T& value, Pid pid = Pid::Kernel) {
    static_assert(std::is_trivially_copyable_v<T>);
    auto done = write(to, std::as_bytes(std::span(&value, 1)), pid);
    return done ? Status() : tl::unexpected<Error>(std::move(done.error()));
  }

  // ---- the kernel
  /// Returns the address of a kernel symbol in the running guest (KASLR applied).
  [[nodiscard]] virtual Result<Gva> symbol(std::string_view name) = 0;
  /// Returns the byte offset of a member of a kernel structure. A nested member is "a.b".
  [[nodiscard]] virtual Result<uint64_t> offset(std::string_view structure, std::string_view member) = 0;
  /// Translates a virtual address. Fails if it is not mapped.
  [[nodiscard]] virtual Result<Gpa> translate(Gva address, Pid pid = Pid::Kernel) = 0;
  /// Lists the guest's processes. Pause the guest if the list must be consistent.
  [[nodiscard]] virtual Result<std::vector<ProcessEntry>> processes() = 0;

  // ---- the VM
  /// Reads a register of a vCPU by name: "rip", "cr3", "gs_base", ... `vcpu` counts from 0; Invalid if the VM
  /// has no vCPU of this number.
  [[nodiscard]] virtual Result<uint64_t> vcpu_register(std::string_view name, uint32_t vcpu = 0) = 0;
  /// Pauses the guest. Pauses are counted for each app: the guest resumes when every app has undone its
  /// pauses.
  [[nodiscard]] virtual Status pause() = 0;
  /// Undoes one pause.
  [[nodiscard]] virtual Status resume() = 0;
  /// Makes any call of docs/calls.md by its name, such as "get_memsize", with the arguments in that order.
  [[nodiscard]] virtual Result<Value> call(std::string_view name, std::span<const Argument> arguments) = 0;

  // ---- events, timers, the backend
  /// Registers an event and returns its id. An app may register 200. Callbacks come between events_start()
  /// and events_stop(); those of system calls always come.
  [[nodiscard]] virtual Result<uint64_t> on_event(const EventRequest& request,
                                                  std::function<void(const Event&)> callback) = 0;
  /// Removes an event. Fails if there is none with this id.
  [[nodiscard]] virtual Status clear_event(uint64_t identifier) = 0;
  /// Starts the delivery of this app's events.
  [[nodiscard]] virtual Status events_start() = 0;
  /// Stops the delivery of this app's events. The events stay registered.
  [[nodiscard]] virtual Status events_stop() = 0;
  /// Calls `callback` every `seconds` seconds; 0 or less: at every turn of the main loop. Returns the timer's
  /// id.
  virtual uint64_t add_timer(double seconds, std::function<void()> callback) = 0;
  /// Removes a timer. Returns false if there is none with this id.
  virtual bool remove_timer(uint64_t timer) = 0;
  /// Sets the callback for text messages of the backend, to this app or (`broadcast`) to all apps.
  virtual void on_backend_message(std::function<void(std::string_view text, bool broadcast)> callback) = 0;
  /// Sets the callback for binary messages of the backend.
  virtual void on_backend_bytes(
      std::function<void(std::span<const std::byte> data, bool broadcast)> callback) = 0;
  /// Sends a message to the backend without waiting for an answer. At most 11,056,943 bytes. Fails if the
  /// message was not accepted because too many bytes wait already. With Delivery::Durable the message is on
  /// disk when the function returns, and is delivered in order, even if processes restart.
  [[nodiscard]] virtual Status notify(std::string_view text, Delivery delivery = Delivery::AtMostOnce) = 0;
  [[nodiscard]] virtual Status notify(std::span<const std::byte> data,
                                      Delivery delivery = Delivery::AtMostOnce) = 0;
  /// Sends a request to the backend and waits for the answer, at most `timeout` seconds: above 0, at most
  /// 86,400. No callback runs meanwhile. Fails if the backend's callback does, with its text.
  [[nodiscard]] virtual Result<std::string> request(std::string_view text, double timeout = 30) = 0;
  [[nodiscard]] virtual Result<std::vector<std::byte>> request(std::span<const std::byte> data,
                                                               double timeout = 30) = 0;

  // ---- storage
  /// Stores a UTF-8 text under a key of 1 to 16 characters of \w and '-'. It is on disk when the function
  /// returns. Fails, and changes nothing, if the quota is exceeded or the disk is full.
  [[nodiscard]] virtual Status store(std::string_view key, std::string_view text) = 0;
  /// Reads a stored text. Fails if there is none under this key.
  [[nodiscard]] virtual Result<std::string> load(std::string_view key) = 0;
  /// Deletes a stored text.
  [[nodiscard]] virtual Status remove(std::string_view key) = 0;
  /// Lists the stored keys, with the size of each value in bytes.
  [[nodiscard]] virtual Result<std::vector<std::pair<std::string, uint64_t>>> stored() = 0;

  // ---- the app itself
  [[nodiscard]] virtual std::string_view app_id() const = 0;
  /// The text that the operator gave with --metadata.
  [[nodiscard]] virtual std::string_view metadata() const = 0;
  /// Writes a line to the app's log.
  virtual void log(std::string_view text) = 0;
  /// Stops the app after the running callback or constructor has returned.
  virtual void exit() = 0;
};

/// The base class of an app. The derived class needs a constructor that takes a Host&.
class App {
 public:
  virtual ~App() = default;
  /// Called when the app stops, before the destructor.
  virtual void shutdown() {}
};

}  // namespace furnace::tenant

/// Makes a class the app of this shared object. Use it once.
#define FURNACE_APP(Class)                                                                  \
  extern "C" __attribute__((visibility("default"))) const uint32_t furnace_app_abi =        \
      furnace::tenant::kAbiVersion;                                                         \
  extern "C" __attribute__((visibility("default"))) furnace::tenant::App* furnace_app_make( \
      furnace::tenant::Host& host) {                                                        \
    return new Class(host);                                                                 \
  }
