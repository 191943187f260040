// The LibVMI driver, for VMs that LibVMI's drivers reach and ours don't: memory, registers, pauses, and on
// Xen events.
#pragma once

// clang-format off: in this order
extern "C" {
#include <libvmi/events.h>
#include <libvmi/libvmi.h>
}
// clang-format on

#include <memory>

#include "hypervisor/covered_bytes.h"
#include "hypervisor/hypervisor.h"

namespace furnace::hypervisor {

struct DestroyLibVmi {
  void operator()(vmi_instance_t instance) const { ::vmi_destroy(instance); }
};
using LibVmiInstance = std::unique_ptr<vmi_instance, DestroyLibVmi>;

class LibVmiMemory : public guest::GuestMemory {
 public:
  explicit LibVmiMemory(vmi_instance_t instance);
  using GuestMemory::read;
  [[nodiscard]] size_t read(guest::Gpa from, std::span<std::byte> out) const override;
  [[nodiscard]] size_t write(guest::Gpa to, std::span<const std::byte> data) override;
  [[nodiscard]] bool writable() const override { return writable_; }
  [[nodiscard]] const std::vector<guest::GpaRange>& ranges() const override { return ranges_; }
  [[nodiscard]] CoveredBytes& covered() { return covered_; }

 private:
  vmi_instance_t instance_;
  CoveredBytes covered_;
  bool writable_;
  std::vector<guest::GpaRange> ranges_;
};

class LibVmiEvents;

class LibVmi : public Hypervisor {
 public:
  [[nodiscard]] static Result<std::unique_ptr<Hypervisor>> attach(const std::string& name);
  ~LibVmi() override;

  [[nodiscard]] std::string name() const override { return name_; }
  [[nodiscard]] uint32_t id() const override;
  [[nodiscard]] AccessMode access_mode() const override { return mode_; }
  [[nodiscard]] guest::GuestMemory& memory() override { return memory_; }
  [[nodiscard]] uint64_t memory_size() const override { return ::vmi_get_memsize(instance_.get()); }
  [[nodiscard]] uint32_t vcpus() const override;
  [[nodiscard]] Result<std::optional<Registers>> registers(uint32_t vcpu) override;
  [[nodiscard]] Status pause() override;
  [[nodiscard]] Status resume() override;
  [[nodiscard]] RunState state() const override { return paused_ ? RunState::Paused : RunState::Running; }
  [[nodiscard]] std::vector<int> descriptors() const override;
  [[nodiscard]] EventSource* events() override;

 private:
  /// Notifies the guard, where there is one.
  [[nodiscard]] Status note_paused(bool paused);

  LibVmi(std::string name, AccessMode mode, LibVmiInstance instance);

  std::string name_;
  AccessMode mode_;
  LibVmiInstance instance_;
  LibVmiMemory memory_;
  std::unique_ptr<LibVmiEvents> events_;  // on Xen
  bool paused_ = false;
};

}  // namespace furnace::hypervisor
