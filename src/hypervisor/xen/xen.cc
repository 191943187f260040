#include "hypervisor/xen/xen.h"

#include "base/log.h"
#include "hypervisor/xen/vcpu.h"

namespace furnace::hypervisor {

Result<std::unique_ptr<Xen>> Xen::open(const std::string& name) {
  FURNACE_TRY(XenControl control, open_control());
  FURNACE_TRY(XenStore store, open_store());
  FURNACE_TRY(Domain domain, find_domain(*control, store.get(), name));
  FURNACE_TRY(XenGuard guard, XenGuard::start(domain.id));
  FURNACE_TRY(ForeignMemory foreign, ForeignMemory::open());
  FURNACE_TRY(MemoryLayout layout, MemoryLayout::of(*control, domain));
  auto memory = std::make_unique<DomainMemory>(std::move(foreign), domain.id, std::move(layout));
  // xenstored reports when a domain has ended.
  if (!::xs_watch(store.get(), "@releaseDomain", "end")) return fail_errno("xenstore: watch");
  return std::unique_ptr<Xen>(
      new Xen(std::move(domain), std::move(guard), std::move(control), std::move(store), std::move(memory)));
}

Xen::Xen(Domain domain, XenGuard guard, XenControl control, XenStore store,
         std::unique_ptr<DomainMemory> memory)
    : domain_(std::move(domain)),
      guard_(std::move(guard)),
      control_(std::move(control)),
      store_(std::move(store)),
      memory_(std::move(memory)),
      events_(*control_, domain_, *memory_, guard_) {}

Xen::~Xen() {
  events_.forget();
  if (auto resumed = resume(); !resumed) log::debug("{}", resumed.error().message());
}

uint64_t Xen::memory_size() const {
  uint64_t size = 0;
  for (const auto& range : memory_->ranges()) size += range.size();
  return size;
}

Status Xen::gone() const {
  return fail(Errc::Unavailable, "VM '{}' has exited: its domain {} has ended", domain_.name, domain_.id);
}

Result<std::optional<Registers>> Xen::registers(uint32_t vcpu) {
  if (gone_) FURNACE_CHECK(gone());
  if (vcpu >= domain_.vcpus) return fail(Errc::Invalid, "vCPU {} of {}", vcpu, domain_.vcpus);
  auto read = domain_.pv ? read_pv_registers(*control_, domain_.id, vcpu, *memory_)
                         : read_hvm_registers(*control_, domain_.id, vcpu);
  if (!read) return tl::unexpected<Error>(read.error());
  return *std::move(read);
}

Status Xen::pause() {
  if (gone_) return gone();
  if (paused_by_us_) return {};
  FURNACE_CHECK(guard_.note_paused(true));
  // Xen counts pauses: the toolstack's own stay what they are.
  if (::xc_domain_pause(control_.get(), domain_.id) != 0) {
    (void)guard_.note_paused(false);
    return fail_errno("pause domain {}", domain_.id);
  }
  paused_by_us_ = true;
  return {};
}

Status Xen::resume() {
  if (!paused_by_us_) return {};
  if (gone_) return gone();
  if (::xc_domain_unpause(control_.get(), domain_.id) != 0)
    return fail_errno("unpause domain {}", domain_.id);
  paused_by_us_ = false;
  return guard_.note_paused(false);
}

RunState Xen::state() const {
  if (gone_) return RunState::Gone;
  if (paused_by_us_) return RunState::Paused;
  const auto now = look_at_domain(*control_, domain_.id);
  if (!now) return RunState::Gone;
  return now->paused ? RunState::Paused : RunState::Running;
}

std::vector<int> Xen::descriptors() const {
  if (gone_) return {};
  std::vector<int> descriptors{::xs_fileno(store_.get())};
  if (events_.open()) descriptors.push_back(events_.descriptor());
  return descriptors;
}

std::vector<Notice> Xen::poll() {
  while (char** watch = ::xs_check_watch(store_.get())) ::free(watch);  // NOLINT: the library's
  if (gone_ || look_at_domain(*control_, domain_.id)) return {};
  gone_ = true;
  return {Notice::Gone};
}

}  // namespace furnace::hypervisor
