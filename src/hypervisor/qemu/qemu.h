// The QEMU driver: attaches to a running, unpatched QEMU by name; KVM or TCG, RAM shared or private.
#pragma once

#include <memory>

#include "hypervisor/hypervisor.h"
#include "hypervisor/qemu/control.h"
#include "hypervisor/qemu/guest_ram.h"
#include "hypervisor/qemu/setup.h"
#include "hypervisor/qemu/stub_events.h"

namespace furnace::hypervisor {

class Qemu : public Hypervisor {
 public:
  /// Finds the QEMU whose -name is `name` and attaches; the guest doesn't notice.
  [[nodiscard]] static Result<std::unique_ptr<Hypervisor>> attach(const std::string& name, RamAccess access);

  /// `pid`: QEMU's, as its host sees it.
  Qemu(std::string name, pid_t pid, std::unique_ptr<QemuControl> control, GuestRam ram,
       const QemuSetup& setup);
  ~Qemu() override;

  [[nodiscard]] std::string name() const override { return name_; }
  [[nodiscard]] uint32_t id() const override { return static_cast<uint32_t>(pid_); }
  [[nodiscard]] AccessMode access_mode() const override { return AccessMode::Kvm; }
  [[nodiscard]] guest::GuestMemory& memory() override { return ram_; }
  [[nodiscard]] uint64_t memory_size() const override;
  [[nodiscard]] uint32_t vcpus() const override { return control_->vcpus(); }
  [[nodiscard]] Result<std::optional<Registers>> registers(uint32_t vcpu) override;
  [[nodiscard]] Status pause() override;
  [[nodiscard]] Status resume() override;
  [[nodiscard]] RunState state() const override { return control_->state(); }
  [[nodiscard]] std::vector<int> descriptors() const override { return control_->descriptors(); }
  std::vector<Notice> poll() override { return control_->poll(); }
  [[nodiscard]] bool has_notice() const override { return control_->has_notice(); }
  [[nodiscard]] EventSource* events() override { return &events_; }

 private:
  std::string name_;
  pid_t pid_;
  std::unique_ptr<QemuControl> control_;
  GuestRam ram_;
  StubEvents events_;
};

}  // namespace furnace::hypervisor
