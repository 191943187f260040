// The QEMU driver: attaches to a running, unpatched QEMU by name; KVM or TCG, RAM shared or private.
#pragma once

#include <memory>

#include "hypervisor/hypervisor.h"
#include "hypervisor/qemu/guest_ram.h"
#include "hypervisor/qemu/pause_guard.h"
#include "hypervisor/qemu/process.h"
#include "hypervisor/qemu/qmp.h"

namespace furnace::hypervisor {

class Qemu : public Hypervisor {
 public:
  /// Finds the QEMU whose -name is `name` and attaches; the guest doesn't notice.
  [[nodiscard]] static Result<std::unique_ptr<Hypervisor>> attach(const std::string& name);
  ~Qemu() override;

  [[nodiscard]] std::string name() const override { return process_.name; }
  [[nodiscard]] uint32_t id() const override { return static_cast<uint32_t>(process_.pid); }
  [[nodiscard]] AccessMode access_mode() const override { return AccessMode::Kvm; }
  [[nodiscard]] guest::GuestMemory& memory() override { return ram_; }
  [[nodiscard]] uint64_t memory_size() const override;
  [[nodiscard]] Result<std::optional<Registers>> registers(uint32_t vcpu) override;
  [[nodiscard]] Status pause() override;
  [[nodiscard]] Status resume() override;
  [[nodiscard]] RunState state() const override { return state_; }
  [[nodiscard]] std::vector<int> descriptors() const override;
  std::vector<Notice> poll() override;

 private:
  Qemu(QemuProcess process, Fd pidfd, PauseGuard guard, Qmp qmp, GuestRam ram);
  [[nodiscard]] Status gone() const;

  QemuProcess process_;
  Fd pidfd_;
  PauseGuard guard_;
  Qmp qmp_;
  GuestRam ram_;
  RunState state_ = RunState::Running;
  bool paused_by_us_ = false;
  uint32_t vcpus_ = 1;
};

/// Registers in the text of HMP `info registers` (QEMU: target/i386/cpu-dump.c).
[[nodiscard]] Registers parse_registers(std::string_view text);

}  // namespace furnace::hypervisor
