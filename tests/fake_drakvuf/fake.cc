#include "fake.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <cstring>

#include "furnace/furnace.h"

namespace {

using furnace::guest::Gpa;

furnace::hypervisor::Hypervisor& guest_of(vmi_instance_t vmi) {
  return reinterpret_cast<drakvuf_t>(vmi)->guest;
}

x86_registers_t registers_of(furnace::hypervisor::Hypervisor& guest, uint32_t vcpu) {
  const auto all = *guest.registers(vcpu);
  using furnace::hypervisor::Reg;
  x86_registers_t made{};
  made.rip = all->rip();
  made.rsp = all->rsp();
  made.cr0 = all->cr0();
  made.cr3 = all->cr3();
  made.cr4 = all->cr4();
  made.msr_efer = all->get(Reg::Efer).value_or(0);
  made.gs_base = all->get(Reg::GsBase).value_or(0);
  return made;
}

}  // namespace

drakvuf::drakvuf(furnace::hypervisor::Hypervisor& held, std::string json)
    : guest(held), profile(std::move(json)), wake_(::eventfd(0, 0)), done_(::eventfd(0, 0)), thread_([this] {
        loop();
      }) {}

drakvuf::~drakvuf() {
  in_loop([this] {
    plugin_.reset();
    ends_ = true;
  });
  thread_.join();
}

void drakvuf::in_loop(const std::function<void()>& work) {
  uint64_t one = 1;
  {
    const std::lock_guard lock(mutex_);
    work_ = work;
  }
  (void)!::write(wake_.get(), &one, sizeof one);
  (void)!::read(done_.get(), &one, sizeof one);
}

void drakvuf::loop() {
  while (!ends_) {
    std::vector<pollfd> items{{wake_.get(), POLLIN, 0}};
    for (const Watched& each : watched) items.push_back({each.descriptor, POLLIN, 0});
    ::poll(items.data(), items.size(), 1000);
    for (size_t i = 1; i < items.size(); ++i)
      if (items[i].revents != 0) watched[i - 1].callback(watched[i - 1].descriptor, watched[i - 1].data);
    if (items[0].revents == 0) continue;
    uint64_t one = 1;
    (void)!::read(wake_.get(), &one, sizeof one);
    {
      const std::lock_guard lock(mutex_);
      work_();
    }
    one = 1;
    (void)!::write(done_.get(), &one, sizeof one);
  }
}

bool drakvuf::start() {
  bool started = true;
  in_loop([&] {
    try {
      plugin_ = std::make_unique<furnace_plugin>(this, OUTPUT_DEFAULT);
    } catch (int) {
      started = false;
    }
  });
  return started;
}

void drakvuf::stop() {
  in_loop([this] { plugin_->stop(); });
}

size_t drakvuf::traps() {
  size_t count = 0;
  in_loop([&] { count = set_traps.size(); });
  return count;
}

size_t drakvuf::hit(uint64_t gpa, const std::function<bool(const drakvuf_trap_t&)>& matches, uint64_t cr3) {
  size_t count = 0;
  in_loop([&] {
    x86_registers_t registers = registers_of(guest, 0);
    if (cr3 != 0) registers.cr3 = cr3;
    const std::set<drakvuf_trap_t*> traps = set_traps;
    in_callback = true;
    for (drakvuf_trap_t* trap : traps) {
      if (!matches(*trap)) continue;
      ++count;
      drakvuf_trap_info_t info{0, gpa, &registers, trap};
      trap->cb(this, &info);
    }
    in_callback = false;
    for (const auto& [trap, free] : std::exchange(removed, {})) free(trap);
  });
  return count;
}

size_t drakvuf::write_cr3(uint64_t value) {
  return hit(
      0, [](const drakvuf_trap_t& trap) { return trap.type == REGISTER && trap.regaccess.type == CR3; },
      value);
}

size_t drakvuf::execute(uint64_t gpa) {
  return hit(gpa, [&](const drakvuf_trap_t& trap) {
    return trap.type == BREAKPOINT && trap.breakpoint.lookup_type == LOOKUP_NONE &&
           trap.breakpoint.addr == gpa;
  });
}

size_t drakvuf::access(uint64_t gpa, int kind) {
  return hit(gpa, [&](const drakvuf_trap_t& trap) {
    return trap.type == MEMACCESS && trap.memaccess.gfn == gpa / VMI_PS_4KB &&
           (trap.memaccess.access & kind) != 0;
  });
}

vmi_instance_t drakvuf_lock_and_get_vmi(drakvuf_t drakvuf) {
  return reinterpret_cast<vmi_instance_t>(drakvuf);
}
void drakvuf_release_vmi(drakvuf_t) {}
uint16_t drakvuf_get_dom_id(drakvuf_t drakvuf) {
  return static_cast<uint16_t>(drakvuf->guest.id());
}
bool drakvuf_pause(drakvuf_t drakvuf) {
  ++drakvuf->pauses_;
  return drakvuf->guest.pause().has_value();
}
bool drakvuf_resume(drakvuf_t drakvuf) {
  --drakvuf->pauses_;
  return drakvuf->guest.resume().has_value();
}
bool drakvuf_add_trap(drakvuf_t drakvuf, drakvuf_trap_t* trap) {
  return !drakvuf->refuse_traps && drakvuf->set_traps.insert(trap).second;
}
void drakvuf_remove_trap(drakvuf_t drakvuf, drakvuf_trap_t* trap, void (*free_routine)(drakvuf_trap_t*)) {
  drakvuf->set_traps.erase(trap);
  if (drakvuf->in_callback) {
    drakvuf->removed.emplace_back(trap, free_routine);
  } else {
    free_routine(trap);
  }
}
int drakvuf_event_fd_add(drakvuf_t drakvuf, int descriptor, void (*callback)(int, void*), void* data) {
  drakvuf->watched.push_back({descriptor, callback, data});
  return 1;
}
int drakvuf_event_fd_remove(drakvuf_t drakvuf, int descriptor) {
  return std::erase_if(drakvuf->watched, [&](const auto& each) { return each.descriptor == descriptor; }) != 0
             ? 1
             : 0;
}

status_t vmi_read_pa(vmi_instance_t vmi, addr_t gpa, size_t count, void* to, size_t* done) {
  *done = guest_of(vmi).memory().read(Gpa{gpa}, {static_cast<std::byte*>(to), count});
  return *done == count ? VMI_SUCCESS : VMI_FAILURE;
}
status_t vmi_write_pa(vmi_instance_t vmi, addr_t gpa, size_t count, void* from, size_t* done) {
  *done = guest_of(vmi).memory().write(Gpa{gpa}, {static_cast<const std::byte*>(from), count});
  return *done == count ? VMI_SUCCESS : VMI_FAILURE;
}
status_t vmi_get_vcpuregs(vmi_instance_t vmi, registers_t* to, unsigned long vcpu) {
  to->x86 = registers_of(guest_of(vmi), static_cast<uint32_t>(vcpu));
  return VMI_SUCCESS;
}
unsigned vmi_get_num_vcpus(vmi_instance_t vmi) {
  return guest_of(vmi).vcpus();
}
addr_t vmi_get_max_physical_address(vmi_instance_t vmi) {
  return guest_of(vmi).memory().ranges().back().end.value;
}
char* vmi_get_name(vmi_instance_t vmi) {
  return ::strdup(guest_of(vmi).name().c_str());
}
void vmi_pagecache_flush(vmi_instance_t) {}
void vmi_v2pcache_flush(vmi_instance_t, addr_t) {}

json_object* vmi_get_kernel_json(vmi_instance_t vmi) {
  auto* drakvuf = reinterpret_cast<drakvuf_t>(vmi);
  return drakvuf->profile.empty() ? nullptr : reinterpret_cast<json_object*>(&drakvuf->profile);
}
const char* json_object_to_json_string(json_object* json) {
  return reinterpret_cast<std::string*>(json)->c_str();
}
