#include "vmi/events/events.h"

#include <algorithm>

#include "base/log.h"
#include "vmi/events/event_message.h"

namespace furnace::vmi {

using hypervisor::GuestEvent;

namespace {

constexpr auto kBetweenTries = std::chrono::milliseconds(50);
constexpr std::chrono::seconds kBetweenLooks(10);

/// Events whose callbacks come without EVENTS_START (wire.md section 1).
bool always_delivered(const EventRequest& request) {
  return request.type->number == wire::F_SYSCALL;
}

bool has_place(const EventRequest& request) {
  return request.type->number == wire::F_INT || request.type->number == wire::F_EPT;
}

}  // namespace

Result<uint64_t> Events::add(Session& owner, const EventRequest& request, const guest::Process* process,
                             std::span<const guest::Process> all) {
  Registration registration{&owner, request};
  if (process != nullptr) registration.process_start = process->start_ns;
  FURNACE_CHECK(check(registration, process, all));
  const uint64_t identifier = next_identifier_++;
  FURNACE_CHECK(watches_.add(registration.request, identifier));
  registrations_.emplace(identifier, registration);
  if (!next_look_) next_look_ = std::chrono::steady_clock::now() + kBetweenLooks;
  return identifier;
}

Status Events::check(Registration& registration, const guest::Process* process,
                     std::span<const guest::Process> all) const {
  const EventRequest& request = registration.request;
  FURNACE_TRY(const guest::LinuxGuest* guest, machine_.linux_guest());
  if (!has_place(request)) return {};
  guest::AddressSpace space = guest->kernel_space();
  if (process != nullptr) {
    FURNACE_TRY(space, guest->space_of(*process));
  }
  if (request.physical) {
    FURNACE_TRY(registration.request.address,
                guest::direct_map(*machine_.kernel().value(), *guest, *request.physical));
  }
  registration.request.table = space.table();
  registration.request.address = guest::canonical(request.address, space.table().levels);
  return check_place(request, *guest, space, all);
}

Status Events::check_place(const EventRequest& request, const guest::LinuxGuest& guest,
                           const guest::AddressSpace& space, std::span<const guest::Process> all) const {
  const guest::Gva address = request.address;
  constexpr uint64_t kernel_half = 1ULL << 63;
  if (request.pid == guest::Pid::Kernel && address.value < kernel_half)
    return fail(Errc::Invalid, "{:#x} is an address of user space: say in which process (bp_pid)",
                address.value);
  const uint64_t last = address.value + std::max<uint64_t>(request.length, 1) - 1;
  if (last < address.value)
    return fail(Errc::Invalid, "{} bytes at {:#x} reach past the end of memory", request.length,
                address.value);
  for (uint64_t page = address.value; page <= last; page = (page / guest::kPageSize + 1) * guest::kPageSize) {
    const auto found = space.translate(guest::Gva{page});
    // A page that is only swapped out comes back.
    if (!found && found.error().kind != guest::FaultKind::SwappedOut)
      return fail(Errc::Unmapped, "{}", guest::explain(found.error()));
    if (page + guest::kPageSize < page) break;
  }
  if (request.watches_data())
    return guest::check_watchable(*machine_.kernel().value(), guest, all, address, request.length);
  return {};
}

Status Events::remove(Session& owner, uint64_t identifier) {
  const auto found = registrations_.find(identifier);
  if (found == registrations_.end() || found->second.owner != &owner)
    return fail(Errc::NotFound, "this app has no event {}", identifier);
  const Registration removed = found->second;
  registrations_.erase(found);
  if (removed.suspended || removed.ended) return {};
  return watches_.remove(removed.request, identifier);
}

size_t Events::count(const Session& owner) const {
  return static_cast<size_t>(std::count_if(registrations_.begin(), registrations_.end(),
                                           [&](const auto& each) { return each.second.owner == &owner; }));
}

/// An app that lost only the connection of its calls, as after a call that it gave up, is notified of what
/// was lost with it.
void Events::tell_of_loss(Session& owner) {
  for (const auto& [identifier, registration] : registrations_) {
    if (registration.owner != &owner || registration.ended || !registration.request.notices) continue;
    wire::Event notice;
    notice.set_identifier(identifier);
    notice.set_ended("the connection of the app's calls was lost, and with it what it had registered");
    if (!outbox_.send(owner, std::move(notice))) return;  // the app itself has ended
  }
}

void Events::forget(Session& owner) {
  tell_of_loss(owner);
  outbox_.forget(owner);
  for (auto it = registrations_.begin(); it != registrations_.end();) {
    const auto next = std::next(it);
    const uint64_t identifier = it->first;
    if (it->second.owner == &owner)
      if (auto removed = remove(owner, identifier); !removed)
        log::warning("event {} of {}: {}", identifier, owner.identity, removed.error().message());
    it = next;
  }
}

std::optional<uint64_t> Events::syscall_tracing(const Session& owner) const {
  for (const auto& [identifier, registration] : registrations_)
    if (registration.owner == &owner && registration.request.from_start_syscall) return identifier;
  return std::nullopt;
}

bool Events::pending() const {
  const hypervisor::EventSource* driver = machine_.hypervisor().events();
  return driver != nullptr && driver->pending();
}

void Events::dispatch() {
  hypervisor::EventSource* driver = machine_.hypervisor().events();
  if (driver == nullptr) return;
  const auto events = driver->take();
  if (events.empty()) return driver->proceed();
  machine_.refresh();
  for (const GuestEvent& event : events) dispatch(event);
  driver->proceed();
}

void Events::dispatch(const GuestEvent& event) {
  const SharedWatches::SharedWatch* watch = watches_.find(event.watch);
  if (watch == nullptr || !anyone_wants(*watch, event)) return;
  Occurrence occurrence = reader_.begin(event);
  if (watch->type->trace) {
    const auto complete = reader_.complete(watch->seen, occurrence);
    if (!complete) log::debug("event: {}", complete.error().message());
    if (!complete || !*complete) return;
  }
  bool named = false;
  const auto users = watch->users;  // a send may find that an app has disconnected
  for (const uint64_t user : users) {
    const auto found = registrations_.find(user);
    if (found == registrations_.end() || !concerns(found->second, occurrence)) continue;
    if (!std::exchange(named, true)) reader_.name_arguments(occurrence);
    deliver(user, found->second, occurrence);
  }
}

/// Filters that need nothing but what came with the event go first: most system calls are not asked for.
bool Events::anyone_wants(const SharedWatches::SharedWatch& watch, const GuestEvent& event) const {
  const bool has_number = watch.type->number == wire::F_SYSCALL && !watch.seen.at_instruction;
  return std::any_of(watch.users.begin(), watch.users.end(), [&](uint64_t user) {
    const auto found = registrations_.find(user);
    if (found == registrations_.end()) return false;
    const EventRequest& request = found->second.request;
    if (!found->second.owner->events_started && !always_delivered(request)) return false;
    return !has_number || !request.number || request.number == event.registers.rax();
  });
}

bool Events::concerns(const Registration& registration, const Occurrence& occurrence) {
  const EventRequest& request = registration.request;
  if (!registration.owner->events_started && !always_delivered(request)) return false;
  if (request.number && request.number != occurrence.syscall) return false;
  if (occurrence.is_return && !request.returns) return false;
  if (request.pid != guest::Pid::Kernel &&
      (!occurrence.process || occurrence.process->pid != number(request.pid) ||
       occurrence.process->start_ns != registration.process_start))
    return false;
  return !request.uid || (occurrence.process && occurrence.process->uid == *request.uid);
}

void Events::deliver(uint64_t identifier, Registration& registration, const Occurrence& occurrence) {
  Session& owner = *registration.owner;
  const EventRequest& request = registration.request;
  wire::Event told;
  told.set_identifier(identifier);
  told.set_guest_paused(request.sync);
  describe(occurrence, *request.type, told);
  trace_.stamp(told);
  if (request.physical)
    told.set_gpa(request.physical->value + (occurrence.address.value - request.address.value));
  if (request.gathers && !request.sync) return outbox_.gather(owner, std::move(told));
  const auto send = [&] { return outbox_.send(owner, std::move(told)); };
  if (request.sync)
    pauses_.hold_for_event(owner, send);
  else
    (void)send();
}

void Events::guest_was_reset() {
  watches_.forget();
  reader_.forget();
  for (auto& [identifier, registration] : registrations_) {
    if (registration.ended) continue;
    const EventRequest& request = registration.request;
    registration.ended = has_place(request) || request.pid != guest::Pid::Kernel;
    registration.suspended = !registration.ended;
    if (!registration.ended) {
      next_try_ = std::chrono::steady_clock::now();
      continue;
    }
    log::info("event {} of {} ends: the guest was reset", identifier, registration.owner->identity);
    if (!registration.request.notices) continue;
    wire::Event notice;
    notice.set_identifier(identifier);
    notice.set_ended("the guest was reset, and with it the process or the address that was watched");
    outbox_.send(*registration.owner, std::move(notice));
  }
}

void Events::resume_suspended() {
  next_try_.reset();
  for (auto& [identifier, registration] : registrations_) {
    if (!registration.suspended) continue;
    Status added = check(registration, nullptr, {});
    if (added) added = watches_.add(registration.request, identifier);
    registration.suspended = !added;
    if (!added) {
      log::debug("event {}: not yet: {}", identifier, added.error().message());
      next_try_ = std::chrono::steady_clock::now() + kBetweenTries;
    }
  }
}

void Events::check_in_place() {
  next_look_.reset();
  if (watches_.empty()) return;
  if (watches_.check_in_place())
    log::debug("what is watched for events is in place");
  else
    log::warning(
        "what is watched for events was not in place everywhere: events of the last {} s may have been "
        "missed",
        kBetweenLooks.count());
  next_look_ = std::chrono::steady_clock::now() + kBetweenLooks;
}

std::optional<std::chrono::steady_clock::time_point> Events::next_deadline() const {
  std::optional<std::chrono::steady_clock::time_point> next = next_try_;
  if (next_look_ && (!next || *next_look_ < *next)) next = next_look_;
  if (const auto gathered = outbox_.next_deadline(); gathered && (!next || *gathered < *next))
    next = gathered;
  if (const auto watchdog = pauses_.next_deadline(); watchdog && (!next || *watchdog < *next))
    next = watchdog;
  return next;
}

void Events::do_what_is_due() {
  const auto now = std::chrono::steady_clock::now();
  outbox_.send_due(now);
  for (const auto& [app, events] : pauses_.expire(now)) outbox_.note_timed_out(*app, events);
  if (next_try_ && *next_try_ <= now) resume_suspended();
  if (next_look_ && *next_look_ <= now) check_in_place();
}

}  // namespace furnace::vmi
