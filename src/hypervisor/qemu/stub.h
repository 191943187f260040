// QEMU's gdb stub, opened through QMP over a socket pair: it needs no path, no port and no option on QEMU's
// command line, and no other process can connect to it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "hypervisor/qemu/gdb_remote.h"
#include "hypervisor/qemu/qmp.h"
#include "hypervisor/qemu/register_layout.h"

namespace furnace::hypervisor {

/// A place that the stub stops at, as packet `Z` numbers its kinds.
struct StubPoint {
  enum class Kind : uint8_t { Breakpoint = 0, Write = 2, Read = 3, Access = 4 };
  Kind kind = Kind::Breakpoint;
  uint64_t address = 0, length = 1;
  auto operator<=>(const StubPoint&) const = default;
};

/// Why the guest is paused (QEMU: gdbstub/gdbstub.c, gdb_vm_state_change).
struct Stop {
  uint32_t vcpu = 0;
  bool by_debug = false;  ///< a breakpoint, a watchpoint or the end of a step; else a pause from outside
  std::optional<StubPoint> watch;  ///< the watchpoint: its kind and address
};
[[nodiscard]] std::optional<Stop> parse_stop(std::string_view packet);

/// QEMU looks through them at every access to their pages.
inline constexpr size_t kMostStubPoints = 4096;

class Stub {
 public:
  /// Opens the stub; the guest is paused afterwards. `theirs` must stay usable with SCM_RIGHTS until then:
  /// the caller keeps `ours`' duplicate for emergencies. Fails (Errc::Unavailable) while a debugger is
  /// attached.
  [[nodiscard]] static Result<Stub> open(Qmp& qmp, Fd ours, const Fd& theirs);
  /// Frees the guest of a stub that an earlier owner left with its breakpoints. Returns whether there
  /// was one: hits that were under way then may still stop the guest (see settle).
  [[nodiscard]] static Result<bool> recover(Qmp& qmp);
  /// Resumes the guest if a point that does not exist any more has stopped it. Hits that were under way when
  /// the stub was closed stop the guest all the same (QEMU: qemu_system_debug_request), and no debugger is
  /// attached that would resume it. Returns whether that was so. A stop by an attached debugger or another
  /// VMI partition is left as it is.
  [[nodiscard]] static Result<bool> settle(Qmp& qmp);
  /// Does so again and again until `end`.
  using Clock = std::chrono::steady_clock;
  static void settle_until(Qmp& qmp, Clock::time_point end);
  /// Removes the device of a stub whose owner has ended. That of a living owner is not touched: another VMI
  /// partition may have opened the stub meanwhile.
  static void remove_left(Qmp& qmp);
  /// How long after the closing such a hit may still come: when the host lets each vCPU run.
  static constexpr std::chrono::seconds kUnsettled{1};

  [[nodiscard]] int descriptor() const { return remote_.descriptor(); }
  [[nodiscard]] bool running() const { return running_; }
  /// How often this stub has let the guest run: as often QEMU has sent RESUME because of it.
  [[nodiscard]] uint64_t runs() const { return runs_; }

  /// The guest has stopped, if it has. Its vCPUs stand then.
  [[nodiscard]] Result<std::optional<Stop>> poll_stop();
  /// Stops the running guest. It may have been stopping by itself: see the answer.
  [[nodiscard]] Result<Stop> interrupt();
  /// The rest is for a guest that is paused.
  [[nodiscard]] Status run();
  /// One instruction of one vCPU, without interrupts, passing a breakpoint on it.
  [[nodiscard]] Result<Stop> step(uint32_t vcpu);
  /// Lets one vCPU run, the others stay stopped, until a point stops it or `time` is over.
  [[nodiscard]] Result<Stop> run_one(uint32_t vcpu, std::chrono::milliseconds time);
  [[nodiscard]] Status insert(const StubPoint& point);
  [[nodiscard]] Status remove(const StubPoint& point);
  [[nodiscard]] Result<Registers> registers(uint32_t vcpu);
  [[nodiscard]] Status set_instruction_pointer(uint32_t vcpu, uint64_t address);
  /// Another program has resumed the guest.
  void note_running() { running_ = true; }

  /// Removes all points, resumes the guest if `run_on`, and closes the stub. After an error the guest stays
  /// paused.
  Status close(Qmp& qmp, bool run_on);

  /// Who lets go of the stub: both do, one after the other, when the owner is killed in the middle of it.
  enum class By : uint8_t { Owner, Guard };
  /// Removes the points of all vCPUs, in whatever state the connection and the guest are, and lets the guest
  /// run if `run_on`; otherwise it stays stopped. Returns when QEMU has done all of it.
  [[nodiscard]] static Status let_go(GdbRemote& remote, bool run_on, By by);

 private:
  explicit Stub(GdbRemote remote) : remote_(std::move(remote)) {}
  [[nodiscard]] Status greet();
  [[nodiscard]] Result<std::string> read_description(std::string_view name);
  [[nodiscard]] Status change(char verb, const StubPoint& point);
  [[nodiscard]] Status select(uint32_t vcpu);
  [[nodiscard]] Result<Stop> wait_stop(std::chrono::milliseconds time);
  /// Sends action 's' or 'c' for one vCPU and waits for its stop; interrupts it when `time` is over.
  [[nodiscard]] Result<Stop> move_one(char action, uint32_t vcpu, std::chrono::milliseconds time);

  GdbRemote remote_;
  RegisterLayout layout_;
  std::string own_device_ = "none";  ///< where QEMU's stub waited for a debugger before, and will again
  bool running_ = false;
  uint64_t runs_ = 0;
  uint32_t selected_ = 0;    ///< the vCPU that registers are read of
  uint32_t controlled_ = 0;  ///< the vCPU whose stop QEMU reports next, and whose single step it then ends
};

}  // namespace furnace::hypervisor
