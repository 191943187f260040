// A small deterministic guest made in memory: the mock driver. Page tables, tasks, symbols and types are real
// bytes, read by the same code as a live guest's; changes and events happen as its description says.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.h"
#include "hypervisor/hypervisor.h"
#include "hypervisor/simulator/description.h"
#include "hypervisor/simulator/timeline.h"
#include "hypervisor/simulator/world.h"

namespace furnace::hypervisor {

class Simulator : public Hypervisor, private EventSource {
 public:
  [[nodiscard]] static Result<std::unique_ptr<Simulator>> make(const SimulatedGuest& guest);

  [[nodiscard]] std::string name() const override { return guest_.name; }
  [[nodiscard]] uint32_t id() const override { return 1; }
  [[nodiscard]] AccessMode access_mode() const override { return AccessMode::File; }
  [[nodiscard]] guest::GuestMemory& memory() override { return world_->memory(); }
  [[nodiscard]] uint64_t memory_size() const override { return guest_.memory_mb << 20; }
  [[nodiscard]] uint32_t vcpus() const override { return static_cast<uint32_t>(vcpus_.size()); }
  [[nodiscard]] Result<std::optional<Registers>> registers(uint32_t vcpu) override;
  [[nodiscard]] Status pause() override;
  [[nodiscard]] Status resume() override;
  [[nodiscard]] RunState state() const override { return state_; }
  [[nodiscard]] std::vector<int> descriptors() const override { return {timer_.get()}; }
  std::vector<Notice> poll() override;
  [[nodiscard]] EventSource* events() override { return this; }
  [[nodiscard]] std::optional<guest::Kernel> kernel() override { return world_->kernel(); }

 private:
  explicit Simulator(const SimulatedGuest& guest) : guest_(guest), timeline_(guest.timeline) {}

  // EventSource
  [[nodiscard]] bool offers(EventKind) const override { return true; }
  void forget() override { watches_.clear(), pending_.clear(), later_.clear(); }
  [[nodiscard]] bool pending() const override { return !pending_.empty() && state_ == RunState::Running; }
  [[nodiscard]] Result<uint64_t> watch(const Watch& watch) override;
  [[nodiscard]] Status unwatch(uint64_t watch) override;
  [[nodiscard]] std::vector<GuestEvent> take() override;
  void proceed() override;

  /// Applies what is due, up to an event that is watched: there the guest is paused.
  void run_timeline();
  /// Something that a task does on vCPU 0.
  struct Happening {
    EventKind kind;
    int32_t pid;
    KernelEvent known;
  };
  [[nodiscard]] Status change(const Change& change);
  [[nodiscard]] Status happen(const Happening& happening);
  /// Gives an event to those who watch for it.
  void tell(EventKind kind, GuestEvent& event);
  void play(const ScriptedEvent& event);
  [[nodiscard]] Status play_or_say_why(const ScriptedEvent& event);
  void go_on();
  void set_timer();

  struct WatchEntry {
    uint64_t id;
    Watch watch;
  };
  SimulatedGuest guest_;
  std::unique_ptr<World> world_;
  Timeline timeline_;
  Fd timer_;
  RunState state_ = RunState::Running;
  std::vector<Registers> vcpus_;
  std::vector<WatchEntry> watches_;
  uint64_t next_watch_ = 1;
  std::deque<GuestEvent> pending_;
  std::deque<Happening> later_;  ///< of the same change: one is pending at a time
  std::vector<Notice> notices_;
};

}  // namespace furnace::hypervisor
