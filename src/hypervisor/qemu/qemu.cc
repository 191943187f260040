#include "hypervisor/qemu/qemu.h"

#include "base/log.h"
#include "hypervisor/qemu/handles.h"
#include "hypervisor/qemu/host.h"

namespace furnace::hypervisor {

Result<std::unique_ptr<Hypervisor>> Qemu::attach(const std::string& name, RamAccess access) {
  FURNACE_TRY(QemuHandles handles, QemuHandles::open(name, access));
  auto host = std::make_unique<QemuHost>(handles);
  return std::make_unique<Qemu>(handles.process.name, handles.process.pid, std::move(host),
                                std::move(handles.ram), handles.setup);
}

Qemu::Qemu(std::string name, pid_t pid, std::unique_ptr<QemuControl> control, GuestRam ram,
           const QemuSetup& setup)
    : name_(std::move(name)),
      pid_(pid),
      control_(std::move(control)),
      ram_(std::move(ram)),
      events_(*control_, ram_, setup) {}

Qemu::~Qemu() {
  if (auto resumed = resume(); !resumed) log::debug("{}", resumed.error().message());
}

uint64_t Qemu::memory_size() const {
  uint64_t size = 0;
  for (const auto& range : ram_.ranges()) size += range.size();
  return size;
}

Result<std::optional<Registers>> Qemu::registers(uint32_t vcpu) {
  return control_->registers(vcpu);
}

Status Qemu::pause() {
  FURNACE_CHECK(control_->pause());
  if (auto held = events_.hold(); !held) {
    (void)resume();
    return fail(held.error(), "pause");
  }
  return {};
}

Status Qemu::resume() {
  FURNACE_CHECK(control_->resume());
  if (auto released = events_.release(); !released) return fail(released.error(), "resume");
  return {};
}

}  // namespace furnace::hypervisor
