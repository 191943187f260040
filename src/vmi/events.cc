#include "vmi/events.h"

#include <algorithm>

#include "base/log.h"

namespace furnace::vmi {

using hypervisor::EventKind;
using hypervisor::GuestEvent;

namespace {

tl::unexpected<Error> no_source(const Machine& machine) {
  return fail(Errc::Unavailable, "the hypervisor driver of '{}' has no source of events", machine.name());
}

/// The owner of an event is told at the identity of its call socket with the last character replaced by 'd'.
std::string event_identity(const Session& owner) {
  std::string identity = owner.routing;
  if (!identity.empty()) identity.back() = 'd';
  return identity;
}

void put_registers(wire::Event& event, const hypervisor::Registers& registers) {
  const auto value = [&](std::string_view name) { return registers.get(name).value_or(0); };
  event.set_cr3(value("cr3"));
  event.set_rip(value("rip"));
  event.set_rbp(value("rbp"));
  event.set_rsp(value("rsp"));
  event.set_rdi(value("rdi"));
  event.set_rsi(value("rsi"));
  event.set_rdx(value("rdx"));
  event.set_rax(value("rax"));
  event.set_r10(value("r10"));
  event.set_r8(value("r8"));
  event.set_r9(value("r9"));
}

}  // namespace

Result<uint64_t> Events::add(Session& owner, const EventRequest& request) {
  hypervisor::EventSource* source = machine_.hypervisor().events();
  if (source == nullptr) return no_source(machine_);
  FURNACE_TRY(const guest::LinuxGuest* linux_guest, machine_.linux_guest());
  if (request.pid != guest::Pid::Kernel) {
    FURNACE_TRY([[maybe_unused]] const auto process, linux_guest->process(request.pid));
  }
  if (request.watch.kind == EventKind::Breakpoint) {
    FURNACE_TRY(const auto space, linux_guest->address_space(request.pid));
    const auto page = space.translate(request.watch.address);
    if (!page) return fail(Errc::Unmapped, "{}", guest::explain(page.error()));
  }
  FURNACE_TRY(const uint64_t watch, source->watch(request.watch));
  registrations_.emplace(next_identifier_, Registration{&owner, request, watch});
  return next_identifier_++;
}

Status Events::remove(Session& owner, uint64_t identifier) {
  const auto found = registrations_.find(identifier);
  if (found == registrations_.end() || found->second.owner != &owner)
    return fail(Errc::NotFound, "this app has no event {}", identifier);
  const uint64_t watch = found->second.watch;
  registrations_.erase(found);
  hypervisor::EventSource* source = machine_.hypervisor().events();
  return source != nullptr ? source->unwatch(watch) : Status();
}

size_t Events::count(const Session& owner) const {
  return static_cast<size_t>(std::count_if(registrations_.begin(), registrations_.end(),
                                           [&](const auto& each) { return each.second.owner == &owner; }));
}

void Events::forget(Session& owner) {
  standing_.erase(&owner);
  for (auto it = registrations_.begin(); it != registrations_.end();) {
    const auto next = std::next(it);
    const uint64_t identifier = it->first;
    if (it->second.owner == &owner)
      if (auto removed = remove(owner, identifier); !removed)
        log::warning("event {} of {}: {}", identifier, owner.identity, removed.error().message());
    it = next;
  }
}

std::optional<uint64_t> Events::syscall_event(const Session& owner) const {
  for (const auto& [identifier, registration] : registrations_)
    if (registration.owner == &owner && registration.request.watch.kind == EventKind::Syscall)
      return identifier;
  return std::nullopt;
}

void Events::dispatch() {
  hypervisor::EventSource* source = machine_.hypervisor().events();
  if (source == nullptr) return;
  const auto events = source->take();
  if (events.empty()) return;
  machine_.refresh();
  const auto linux_guest = machine_.linux_guest();
  for (const GuestEvent& event : events)
    for (auto& [identifier, registration] : registrations_) {
      if (registration.watch != event.watch) continue;
      std::optional<guest::Process> process;
      if (linux_guest)
        if (auto current = (*linux_guest)->current(event.vcpu)) process = *std::move(current);
      const guest::Pid wanted = registration.request.pid;
      if (wanted != guest::Pid::Kernel && (!process || process->pid != number(wanted))) continue;
      deliver(identifier, registration, event, process);
    }
  source->proceed();
}

void Events::deliver(uint64_t identifier, Registration& registration, const GuestEvent& event,
                     const std::optional<guest::Process>& process) {
  Session& owner = *registration.owner;
  const bool syscall = registration.request.watch.kind == EventKind::Syscall;
  if (!owner.events_started && !syscall) return;
  wire::VmiMessage message;
  message.add_type(wire::VmiMessage::EVENT);
  wire::Event& told = *message.mutable_event();
  told.set_identifier(identifier);
  told.set_vcpu(event.vcpu);
  told.set_guest_paused(registration.request.sync);
  put_registers(told, event.registers);
  if (process) {
    told.set_pid(process->pid);
    told.set_ppid(process->ppid);
    told.set_uid(process->uid);
    told.set_procname(process->name);
  }
  if (registration.request.watch.kind == EventKind::MemoryAccess) {
    told.set_address(event.address.value);
    told.set_access(event.access);
    if (event.old_value) told.set_old_value(*event.old_value);
    if (event.new_value) told.set_new_value(*event.new_value);
  }
  if (owner.events_lost != 0) told.set_lost(owner.events_lost);
  // Stopped before the app is told: it may act at once.
  const bool sync = registration.request.sync;
  if (sync)
    if (auto paused = machine_.hypervisor().pause(); !paused) {
      log::error("guest not stopped for an event: {}", paused.error().message());
      return;
    }
  if (!send_(event_identity(owner), message)) {
    ++owner.events_lost;
    ++owner.counters.events_lost;
    if (sync) run_on_unless_paused();  // it doesn't know, so it would never resume the guest
    return;
  }
  owner.events_lost = 0;
  ++owner.counters.events;
  if (!sync) return;
  ++owner.pauses;
  ++owner.event_pauses;
  ++pauses_.total;
  if (watchdog_.count() == 0) return;
  owner.event_deadline = std::chrono::steady_clock::now() + watchdog_;
  standing_.insert(&owner);
}

void Events::run_on_unless_paused() {
  if (pauses_.total != 0) return;
  if (auto resumed = machine_.hypervisor().resume(); !resumed)
    log::error("guest not resumed: {}", resumed.error().message());
}

std::optional<std::chrono::steady_clock::time_point> Events::next_deadline() const {
  std::optional<std::chrono::steady_clock::time_point> next;
  for (const Session* owner : standing_)
    if (owner->event_deadline && (!next || *owner->event_deadline < *next)) next = owner->event_deadline;
  return next;
}

void Events::enforce_deadlines() {
  const auto now = std::chrono::steady_clock::now();
  for (auto it = standing_.begin(); it != standing_.end();) {
    Session& owner = **it;
    if (owner.event_deadline && *owner.event_deadline > now) {
      ++it;
      continue;
    }
    it = standing_.erase(it);
    if (owner.event_deadline) take_pauses_back(owner);
  }
}

void Events::take_pauses_back(Session& owner) {
  log::warning("{} kept the guest standing for {} ms after an event: it runs on", owner.identity,
               watchdog_.count());
  ++owner.counters.watchdog;
  const uint32_t pauses = std::exchange(owner.event_pauses, 0);
  owner.event_deadline.reset();
  owner.pauses -= pauses;
  pauses_.total -= pauses;
  run_on_unless_paused();
}

}  // namespace furnace::vmi
