// The QEMU driver of a confined VMI partition: it maps the RAM that is a file, and asks the broker for all
// else.
#pragma once

#include <map>
#include <memory>

#include "hypervisor/broker/link.h"
#include "hypervisor/qemu/control.h"
#include "hypervisor/qemu/guest_ram.h"
#include "hypervisor/qemu/read_ahead.h"
#include "hypervisor/qemu/setup.h"

namespace furnace::hypervisor {

/// RAM that QEMU does not share, copied by the broker.
class BrokeredRam : public CopiedRam {
 public:
  BrokeredRam(std::shared_ptr<const broker::Link> link, Mapping shared)
      : link_(std::move(link)), shared_(std::move(shared)) {}
  [[nodiscard]] size_t read(guest::Gpa from, std::span<std::byte> out) const override;
  [[nodiscard]] size_t write(guest::Gpa to, std::span<const std::byte> data) override;
  void forget_read() const override { ahead_.forget(); }

 private:
  [[nodiscard]] size_t read_small(guest::Gpa from, std::span<std::byte> out) const;

  std::shared_ptr<const broker::Link> link_;
  Mapping shared_;
  mutable ReadAhead ahead_;
};

class BrokeredControl : public QemuControl {
 public:
  /// `ram` reads ahead: it forgets that when the guest has moved. It may be nullptr.
  BrokeredControl(std::shared_ptr<const broker::Link> link, Fd news, const QemuSetup& setup,
                  const CopiedRam* ram)
      : link_(std::move(link)),
        news_(std::move(news)),
        state_(setup.running ? RunState::Running : RunState::Paused),
        vcpus_(setup.vcpus),
        ram_(ram) {}

  [[nodiscard]] Result<Registers> registers(uint32_t vcpu) override { return link_->registers(vcpu); }
  [[nodiscard]] Status pause() override { return change({.ask = broker::Ask::Pause}); }
  [[nodiscard]] Status resume() override { return change({.ask = broker::Ask::Resume}); }
  [[nodiscard]] RunState state() const override { return state_; }
  [[nodiscard]] std::vector<int> descriptors() const override;
  std::vector<Notice> poll() override;
  [[nodiscard]] bool has_notice() const override { return look_ && !over_; }
  [[nodiscard]] uint32_t vcpus() const override { return vcpus_; }

  [[nodiscard]] Status open_stub() override { return anew(broker::Ask::OpenStub); }
  [[nodiscard]] Status reopen_stub() override { return anew(broker::Ask::ReopenStub); }
  void close_stub() override;
  [[nodiscard]] bool running() const override { return running_; }
  [[nodiscard]] bool held_elsewhere() const override { return held_elsewhere_; }
  [[nodiscard]] bool has_stop() const override { return stop_.has_value() || failure_.has_value(); }
  [[nodiscard]] Result<std::optional<Stop>> take_stop() override;
  [[nodiscard]] Result<Stop> interrupt() override;
  [[nodiscard]] Status run() override;
  [[nodiscard]] Result<Stop> step(uint32_t vcpu) override;
  [[nodiscard]] Result<Stop> run_one(uint32_t vcpu, std::chrono::milliseconds time) override;
  [[nodiscard]] Status insert(const StubPoint& point) override;
  [[nodiscard]] Status remove(const StubPoint& point) override;
  [[nodiscard]] Result<Registers> stub_registers(uint32_t vcpu) override;
  [[nodiscard]] Status set_instruction_pointer(uint32_t vcpu, uint64_t address) override;

 private:
  void guest_moved();
  void note(const broker::Answer& answer);
  /// Opens or closes the stub: what was reported of it before is over.
  [[nodiscard]] Status anew(broker::Ask how);
  /// Asks for something after which the guest may have changed.
  [[nodiscard]] Result<broker::Link::Reply> ask(broker::Request request);
  [[nodiscard]] Status change(broker::Request request);
  [[nodiscard]] Result<Stop> stop_of(const broker::Link::Reply& reply);
  /// Reads what the broker has reported without being asked.
  void read_news();

  std::shared_ptr<const broker::Link> link_;
  Fd news_;
  broker::Room news_room_;
  RunState state_;
  uint32_t vcpus_;
  const CopiedRam* ram_;
  bool running_ = false, held_elsewhere_ = false, look_ = false;
  bool over_ = false;                        ///< `poll` has reported that the VM or its broker has ended
  std::optional<Stop> stop_;                 ///< reported and not taken yet
  std::optional<Error> failure_;             ///< of the stub, reported and not taken yet
  std::map<uint32_t, Registers> registers_;  ///< of vCPUs that are paused, as far as they were reported
};

/// The `text` that `lend_qemu` or `lend_visit` made, whose descriptors are open here.
[[nodiscard]] Result<std::unique_ptr<Hypervisor>> borrow_qemu(const std::string& text);

}  // namespace furnace::hypervisor
