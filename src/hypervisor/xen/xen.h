// The Xen driver: a domain of this host, from its dom0. Unpatched Xen; PV, PVH and HVM guests.
#pragma once

#include <memory>

#include "hypervisor/hypervisor.h"
#include "hypervisor/xen/domain_memory.h"
#include "hypervisor/xen/guard.h"
#include "hypervisor/xen/monitor_events.h"

namespace furnace::hypervisor {

class Xen : public Hypervisor {
 public:
  /// `name`: of the domain, its number or its UUID.
  [[nodiscard]] static Result<std::unique_ptr<Xen>> open(const std::string& name);
  ~Xen() override;

  [[nodiscard]] std::string name() const override { return domain_.name; }
  [[nodiscard]] uint32_t id() const override { return domain_.id; }
  [[nodiscard]] AccessMode access_mode() const override { return AccessMode::Xen; }
  [[nodiscard]] guest::GuestMemory& memory() override { return *memory_; }
  [[nodiscard]] const DomainMemory& domain_memory() const { return *memory_; }
  [[nodiscard]] uint64_t memory_size() const override;
  [[nodiscard]] uint32_t vcpus() const override { return domain_.vcpus; }
  [[nodiscard]] Result<std::optional<Registers>> registers(uint32_t vcpu) override;
  [[nodiscard]] Status pause() override;
  [[nodiscard]] Status resume() override;
  [[nodiscard]] RunState state() const override;
  [[nodiscard]] std::vector<int> descriptors() const override;
  std::vector<Notice> poll() override;
  [[nodiscard]] EventSource* events() override { return &events_; }

 private:
  Xen(Domain domain, XenGuard guard, XenControl control, XenStore store,
      std::unique_ptr<DomainMemory> memory);
  [[nodiscard]] Status gone() const;

  Domain domain_;
  XenGuard guard_;
  XenControl control_;
  XenStore store_;
  std::unique_ptr<DomainMemory> memory_;
  MonitorEvents events_;
  bool paused_by_us_ = false;
  bool gone_ = false;
};

}  // namespace furnace::hypervisor
