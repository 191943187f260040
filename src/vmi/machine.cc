#include "vmi/machine.h"

#include <malloc.h>

#include "base/log.h"

namespace furnace::vmi {

using hypervisor::Notice;
using hypervisor::RunState;

Result<guest::Kernel> Machine::locate() {
  if (auto own = hypervisor_->kernel()) return *std::move(own);
  FURNACE_TRY(const auto registers, hypervisor_->registers(0));
  std::optional<guest::PagingState> paging;
  if (registers) paging = registers->paging();
  if (given_) return guest::locate_kernel(hypervisor_->memory(), paging, given_);
  return guest::locate_kernel(hypervisor_->memory(), paging, cache_);
}

Result<const guest::Kernel*> Machine::kernel() {
  if (hypervisor_->state() == RunState::Gone)
    return fail(Errc::Unavailable, "VM '{}' has exited", hypervisor_->name());
  if (kernel_) return &*kernel_;
  constexpr auto pause_between = std::chrono::milliseconds(200);
  const auto now = std::chrono::steady_clock::now();
  if (why_no_kernel_ && now < next_search_) return tl::unexpected<Error>(*why_no_kernel_);
  auto found = locate();
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - now;
  if (!found) {
    why_no_kernel_ = found.error();
    next_search_ = std::chrono::steady_clock::now() + pause_between;
    return tl::unexpected<Error>(*why_no_kernel_);
  }
  log::info("kernel: {}, text at {:#x} (physical {:#x}), {}-level paging, {} symbols, {} types",
            found->profile().banner(), found->placement().text.value, found->placement().text_gpa.value,
            found->placement().table.levels, found->profile().symbol_count(),
            found->profile().types().type_count());
  log::debug("kernel found in {:.1f} ms", took.count());
  kernel_ = *std::move(found);
  ::malloc_trim(0);  // a search leaves some 20 MB that the allocator would keep
  return &*kernel_;
}

Result<const guest::LinuxGuest*> Machine::linux_guest() {
  FURNACE_TRY(const guest::Kernel* found, kernel());
  if (!linux_) {
    FURNACE_TRY(linux_, guest::LinuxGuest::make(*found, hypervisor_->memory(), translations_));
  }
  return &*linux_;
}

void Machine::refresh() {
  if (hypervisor_->state() == RunState::Running) translations_.forget();
  hypervisor_->memory().forget_read();
}

bool Machine::poll() {
  for (const Notice notice : hypervisor_->poll()) {
    translations_.forget();
    switch (notice) {
      case Notice::Reset:
        log::warning("VM '{}' was reset: searching its kernel again", hypervisor_->name());
        linux_.reset();
        kernel_.reset();
        why_no_kernel_.reset();
        reset_ = true;
        ++resets_;
        break;
      case Notice::Paused:
        log::info("VM '{}' was paused by another program", hypervisor_->name());
        break;
      case Notice::Resumed:
        log::info("VM '{}' runs again", hypervisor_->name());
        break;
      case Notice::Gone:  // the state says so, too
        break;
      case Notice::Unguarded:
        reason_ =
            Error(Errc::Unavailable,
                  fmt::format("the guard process of VM '{}' has exited: nothing would free the guest if "
                              "this partition died as well, so it ends",
                              hypervisor_->name()));
        break;
    }
  }
  if (hypervisor_->state() == RunState::Gone)
    reason_ = Error(Errc::Unavailable,
                    fmt::format("VM '{}' has exited: its hypervisor process has ended", hypervisor_->name()));
  return reason_.has_value();
}

}  // namespace furnace::vmi
