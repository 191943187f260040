// The driver for a guest that another program holds and lends us (furnace/vmi_host.h).
#pragma once

#include <furnace/vmi_host.h>

#include <map>

#include "base/limited_log.h"
#include "hypervisor/hypervisor.h"

namespace furnace::vmi {

class LentMemory : public guest::GuestMemory {
 public:
  explicit LentMemory(const furnace_guest& guest)
      : guest_(guest), ranges_{{guest::Gpa{0}, guest::Gpa{guest.memory_end}}} {}
  using GuestMemory::read;
  [[nodiscard]] size_t read(guest::Gpa from, std::span<std::byte> out) const override;
  [[nodiscard]] size_t write(guest::Gpa to, std::span<const std::byte> data) override;
  [[nodiscard]] const std::vector<guest::GpaRange>& ranges() const override { return ranges_; }

 private:
  const furnace_guest& guest_;
  std::vector<guest::GpaRange> ranges_;
};

class LentGuest : public hypervisor::Hypervisor, private hypervisor::EventSource {
 public:
  [[nodiscard]] static Result<std::unique_ptr<LentGuest>> make(const furnace_guest& guest);
  ~LentGuest() override;
  LentGuest(const LentGuest&) = delete;
  LentGuest& operator=(const LentGuest&) = delete;

  /// What the program has seen; `take` gives it to the apps.
  void note(const furnace_event& event);

  // Hypervisor
  [[nodiscard]] std::string name() const override { return name_; }
  [[nodiscard]] uint32_t id() const override { return guest_.id; }
  [[nodiscard]] hypervisor::AccessMode access_mode() const override { return hypervisor::AccessMode::Xen; }
  [[nodiscard]] guest::GuestMemory& memory() override { return memory_; }
  [[nodiscard]] uint64_t memory_size() const override { return guest_.memory_end; }
  [[nodiscard]] uint32_t vcpus() const override { return guest_.vcpus; }
  [[nodiscard]] Result<std::optional<hypervisor::Registers>> registers(uint32_t vcpu) override;
  [[nodiscard]] Status pause() override;
  [[nodiscard]] Status resume() override;
  [[nodiscard]] hypervisor::RunState state() const override {
    return paused_ ? hypervisor::RunState::Paused : hypervisor::RunState::Running;
  }
  [[nodiscard]] hypervisor::EventSource* events() override { return this; }

 private:
  explicit LentGuest(const furnace_guest& guest) : guest_(guest), name_(guest.name), memory_(guest_) {}

  // EventSource
  [[nodiscard]] bool offers(hypervisor::EventKind kind) const override;
  [[nodiscard]] Result<uint64_t> watch(const hypervisor::Watch& watch) override;
  [[nodiscard]] Status unwatch(uint64_t watch) override;
  void forget() override;
  [[nodiscard]] bool pending() const override { return !seen_.empty(); }
  [[nodiscard]] std::vector<hypervisor::GuestEvent> take() override { return std::exchange(seen_, {}); }
  void proceed() override {}

  /// What the program watches for us: a page's part of a watch.
  struct Part {
    uint64_t watch = 0;
    hypervisor::EventKind kind{};
    guest::Gva gva;
    guest::Gpa gpa;
    uint64_t length = 0;
  };
  [[nodiscard]] Status watch_part(const Part& part, uint8_t access);
  [[nodiscard]] Status watch_memory(uint64_t number, const hypervisor::Watch& watch);

  furnace_guest guest_;
  std::string name_;
  LentMemory memory_;
  bool paused_ = false;
  uint64_t next_watch_ = 1, next_part_ = 1;
  std::map<uint64_t, Part> parts_;
  std::vector<hypervisor::GuestEvent> seen_;
  log::Limited incomplete_{"events without the registers that each needs"};
};

}  // namespace furnace::vmi
