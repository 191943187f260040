// One VM under introspection: its driver, the kernel found in it, and what happens to both.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <utility>

#include "base/result.h"
#include "guest/linux/tasks.h"
#include "hypervisor/hypervisor.h"

namespace furnace::vmi {

class Machine {
 public:
  /// `cache` may be nullptr; it must outlive the machine. With a profile `given`, no other is looked for: if
  /// it is not of the kernel that the guest runs, calls that need a kernel fail and say so.
  Machine(std::unique_ptr<hypervisor::Hypervisor> hypervisor, guest::ProfileCache* cache,
          std::shared_ptr<const guest::Profile> given = nullptr)
      : hypervisor_(std::move(hypervisor)), cache_(cache), given_(std::move(given)) {}

  [[nodiscard]] hypervisor::Hypervisor& hypervisor() { return *hypervisor_; }
  [[nodiscard]] std::string name() const { return hypervisor_->name(); }

  /// The running kernel; found at the first call and again after a reboot. While there is none the error says
  /// why, and the search is repeated at most five times a second.
  [[nodiscard]] Result<const guest::Kernel*> kernel();
  [[nodiscard]] Result<const guest::LinuxGuest*> linux_guest();

  /// Starts a new view of the guest: what was translated before is forgotten, unless the guest is paused.
  void refresh();

  /// Takes notice of what happened to the VM. Returns true when it can't be served any longer.
  bool poll();
  /// Why `poll` has returned true.
  [[nodiscard]] const Error& reason() const { return *reason_; }
  /// Whether the VM was reset since the last call of this.
  [[nodiscard]] bool was_reset() { return std::exchange(reset_, false); }
  /// How often it was reset: what was found in the guest holds as long as this number is the same.
  [[nodiscard]] uint64_t resets() const { return resets_; }

 private:
  [[nodiscard]] Result<guest::Kernel> locate();

  std::unique_ptr<hypervisor::Hypervisor> hypervisor_;
  guest::ProfileCache* cache_;
  std::shared_ptr<const guest::Profile> given_;
  guest::TranslationCache translations_;
  std::optional<guest::Kernel> kernel_;
  std::optional<guest::LinuxGuest> linux_;
  std::optional<Error> why_no_kernel_;
  std::optional<Error> reason_;  ///< it can't be served any longer
  bool reset_ = false;
  uint64_t resets_ = 0;
  std::chrono::steady_clock::time_point next_search_{};
};

}  // namespace furnace::vmi
