// Holds the connections of a QEMU and answers the driver's requests. It knows what the guest was stopped for,
// and lets it run when its owner ends.
#pragma once

#include <set>
#include <string>

#include "hypervisor/qemu/control.h"
#include "hypervisor/qemu/guard.h"
#include "hypervisor/qemu/handles.h"

namespace furnace::hypervisor {

class QemuHost : public QemuControl {
 public:
  /// Of the handles all but the guest's memory.
  explicit QemuHost(QemuHandles& handles);
  ~QemuHost() override;

  [[nodiscard]] Result<Registers> registers(uint32_t vcpu) override;
  [[nodiscard]] Status pause() override;
  [[nodiscard]] Status resume() override;
  [[nodiscard]] RunState state() const override { return state_; }
  [[nodiscard]] std::vector<int> descriptors() const override;
  std::vector<Notice> poll() override;
  [[nodiscard]] bool has_notice() const override { return state_ != RunState::Gone && qmp_.has_events(); }
  [[nodiscard]] uint32_t vcpus() const override { return vcpus_; }

  [[nodiscard]] Status open_stub() override;
  [[nodiscard]] Status reopen_stub() override;
  void close_stub() override;
  [[nodiscard]] bool running() const override { return stub_ && stub_->running(); }
  [[nodiscard]] bool held_elsewhere() const override { return held_elsewhere_; }
  [[nodiscard]] Result<std::optional<Stop>> take_stop() override;
  [[nodiscard]] Result<Stop> interrupt() override;
  [[nodiscard]] Status run() override;
  [[nodiscard]] Result<Stop> step(uint32_t vcpu) override;
  [[nodiscard]] Result<Stop> run_one(uint32_t vcpu, std::chrono::milliseconds time) override;
  [[nodiscard]] Status insert(const StubPoint& point) override;
  [[nodiscard]] Status remove(const StubPoint& point) override;
  [[nodiscard]] Result<Registers> stub_registers(uint32_t vcpu) override;
  [[nodiscard]] Status set_instruction_pointer(uint32_t vcpu, uint64_t address) override;

  /// Pauses the guest for a visitor, of which the driver knows nothing: for the driver the guest runs, and
  /// what it asks for is done afterwards. Returns an event that came first, which is the driver's.
  [[nodiscard]] Result<std::optional<Stop>> hold_for_visitor();
  [[nodiscard]] Status release_for_visitor();

  /// Whether memory is watched: then every vCPU may keep a hit that the stop does not tell.
  [[nodiscard]] bool watches_memory() const;
  /// The stub's connection while it is open, or -1.
  [[nodiscard]] int stub_descriptor() const { return stub_ ? stub_->descriptor() : -1; }

 private:
  [[nodiscard]] Status gone() const;
  /// The stub, for a guest that is paused.
  [[nodiscard]] Result<Stub*> standing(uint32_t vcpu = 0);
  [[nodiscard]] Status open_stub(bool held_elsewhere);
  [[nodiscard]] Status let_go_of_stub();
  void note_held_elsewhere(bool held);
  void look_for_foreign_resume();

  std::string name_;
  uint32_t vcpus_;
  Fd pidfd_;
  Guard guard_;
  Qmp qmp_;
  std::optional<Stub> stub_;
  std::set<StubPoint> points_;
  RunState state_;
  bool held_ = false;                 ///< by `pause`
  bool held_elsewhere_ = false;       ///< by another program
  size_t visitors_ = 0;               ///< that hold it
  bool run_when_left_ = false;        ///< its driver has let it run meanwhile
  bool unguarded_ = false;            ///< no guard frees the guest after us
  Stub::Clock::time_point closed_{};  ///< when the stub was closed last
  uint64_t earlier_resumes_ = 0;      ///< RESUME events of QEMU from before the stub was opened
};

/// Registers in the text of HMP `info registers` (QEMU: target/i386/cpu-dump.c).
[[nodiscard]] Registers parse_registers(std::string_view text);

}  // namespace furnace::hypervisor
