// The QEMU driver: attaches to a running, unpatched QEMU by name; KVM or TCG, RAM shared or private.
#pragma once

#include <memory>

#include "hypervisor/hypervisor.h"
#include "hypervisor/qemu/handles.h"
#include "hypervisor/qemu/stub_events.h"

namespace furnace::hypervisor {

class Qemu : public Hypervisor {
 public:
  /// Finds the QEMU whose -name is `name` and attaches; the guest doesn't notice.
  [[nodiscard]] static Result<std::unique_ptr<Hypervisor>> attach(const std::string& name);
  /// With handles that were opened elsewhere.
  [[nodiscard]] static std::unique_ptr<Hypervisor> attach(QemuHandles handles);
  ~Qemu() override;

  [[nodiscard]] std::string name() const override { return process_.name; }
  [[nodiscard]] uint32_t id() const override { return static_cast<uint32_t>(process_.pid); }
  [[nodiscard]] AccessMode access_mode() const override { return AccessMode::Kvm; }
  [[nodiscard]] guest::GuestMemory& memory() override { return ram_; }
  [[nodiscard]] uint64_t memory_size() const override;
  [[nodiscard]] uint32_t vcpus() const override { return vcpus_; }
  [[nodiscard]] Result<std::optional<Registers>> registers(uint32_t vcpu) override;
  [[nodiscard]] Status pause() override;
  [[nodiscard]] Status resume() override;
  [[nodiscard]] RunState state() const override { return state_; }
  [[nodiscard]] std::vector<int> descriptors() const override;
  std::vector<Notice> poll() override;
  [[nodiscard]] EventSource* events() override { return &events_; }

 private:
  explicit Qemu(QemuHandles handles);
  [[nodiscard]] Status gone() const;

  QemuProcess process_;
  Fd pidfd_;
  Guard guard_;
  Qmp qmp_;
  GuestRam ram_;
  StubEvents events_;
  RunState state_;
  bool paused_by_us_ = false;
  bool unguarded_ = false;  ///< nobody frees the guest after us
  uint32_t vcpus_;
};

/// Registers in the text of HMP `info registers` (QEMU: target/i386/cpu-dump.c).
[[nodiscard]] Registers parse_registers(std::string_view text);

}  // namespace furnace::hypervisor
