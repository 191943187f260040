#include "hypervisor/simulator/simulator.h"

#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/log.h"

namespace furnace::hypervisor {
namespace {

using guest::Gpa;
using guest::Gva;

Registers registers_at(Gva rip, Gpa root, int levels, const ScriptedEvent& event) {
  Registers registers;
  constexpr uint64_t cr4_pae = 0x20, cr4_la57 = 0x1000;
  registers.set(Reg::Rip, rip.value);
  registers.set(Reg::Cr0, 0x80050033);
  registers.set(Reg::Cr3, root.value);
  registers.set(Reg::Cr4, levels == 5 ? cr4_pae | cr4_la57 : cr4_pae);
  registers.set(Reg::Efer, 0xd01);
  registers.set(Reg::Rflags, 0x202);
  registers.set(Reg::Rax, event.number);
  registers.set(Reg::Rbp, 0);
  registers.set(Reg::Rsp, 0x7fffffffe000);
  // Arguments of a system call (Linux: arch/x86/entry/entry_64.S).
  constexpr std::array holders = {Reg::Rdi, Reg::Rsi, Reg::Rdx, Reg::R10, Reg::R8, Reg::R9};
  for (size_t i = 0; i < holders.size(); ++i)
    registers.set(holders[i], i < event.arguments.size() ? event.arguments[i] : 0);
  return registers;
}

}  // namespace

Result<std::unique_ptr<Simulator>> Simulator::make(const SimulatedGuest& guest) {
  std::unique_ptr<Simulator> made(new Simulator(guest));
  FURNACE_TRY(made->world_, World::make(guest));
  made->timer_ = Fd(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
  if (!made->timer_.valid()) return fail_errno("timerfd");
  const auto& placement = made->world_->kernel().placement();
  made->vcpus_.assign(guest.vcpus, registers_at(placement.text, placement.table.root, guest.levels, {}));
  made->set_timer();
  return made;
}

Result<std::optional<Registers>> Simulator::registers(uint32_t vcpu) {
  if (vcpu >= vcpus_.size()) return fail(Errc::Invalid, "vCPU {} of {}", vcpu, vcpus_.size());
  return vcpus_[vcpu];
}

Status Simulator::pause() {
  state_ = RunState::Paused;
  timeline_.stop();
  set_timer();
  return {};
}

Status Simulator::resume() {
  state_ = RunState::Running;
  go_on();
  set_timer();
  return {};
}

std::vector<Notice> Simulator::poll() {
  uint64_t expirations = 0;
  [[maybe_unused]] const ssize_t got = ::read(timer_.get(), &expirations, sizeof expirations);
  run_timeline();
  return std::exchange(notices_, {});
}

void Simulator::run_timeline() {
  constexpr int most = 256;  // at once: a timeline that is late must not keep calls waiting
  for (int done = 0; done < most && pending_.empty() && state_ == RunState::Running; ++done) {
    const TimelineEntry* entry = timeline_.next_due();
    if (entry == nullptr) break;
    if (const auto* event = std::get_if<ScriptedEvent>(&entry->what)) {
      play(*event);
      continue;
    }
    if (auto applied = change(std::get<Change>(entry->what)); !applied)
      log::warning("simulated change at {} s: {}", entry->at, applied.error().message());
  }
  set_timer();
}

Status Simulator::change(const Change& change) {
  if (std::holds_alternative<Reset>(change)) {
    FURNACE_TRY(world_, World::make(guest_));
    notices_.push_back(Notice::Reset);
    return {};
  }
  // A process exits before it is removed.
  if (const auto* exit = std::get_if<ExitTask>(&change))
    FURNACE_CHECK(happen({EventKind::ProcessExited, exit->pid, {}}));
  FURNACE_CHECK(world_->apply(change));
  if (const auto* start = std::get_if<StartTask>(&change)) {
    const SimulatedTask& task = start->task;
    FURNACE_TRY(const Gva address, world_->task_address(task.pid));
    KernelEvent created;
    created.subject = address;
    FURNACE_CHECK(happen({EventKind::ProcessCreated, task.ppid, created}));
    KernelEvent executed;
    executed.text = task.executable;
    if (!task.executable.empty()) FURNACE_CHECK(happen({EventKind::ProcessExecuted, task.pid, executed}));
  }
  if (const auto* load = std::get_if<LoadModule>(&change)) {
    KernelEvent loaded;
    loaded.text = load->module.name;
    FURNACE_CHECK(happen({EventKind::ModuleLoaded, 0, loaded}));
  }
  return {};
}

/// On vCPU 0.
Status Simulator::happen(const Happening& happening) {
  if (!pending_.empty()) {  // another event is pending
    later_.push_back(happening);
    return {};
  }
  FURNACE_TRY(const Gpa root, world_->switch_to(0, happening.pid));
  vcpus_[0] = registers_at(world_->kernel().placement().text, root, guest_.levels, {});
  GuestEvent event{.vcpu = 0, .registers = vcpus_[0], .address = {}, .old_value = {}, .new_value = {}};
  event.kernel = happening.known;
  tell(happening.kind, event);
  return {};
}

void Simulator::tell(EventKind kind, GuestEvent& event) {
  for (const WatchEntry& entry : watches_) {
    const Watch& watch = entry.watch;
    const bool at_place = watch.kind == EventKind::Breakpoint ? watch.address == event.address
                          : watch.kind == EventKind::MemoryAccess
                              ? event.address >= watch.address &&
                                    event.address < watch.address + watch.length &&
                                    (watch.access & kAccessWrite) != 0
                              : true;
    if (watch.kind != kind || !at_place) continue;
    event.watch = entry.id;
    pending_.push_back(event);
  }
  if (!pending_.empty()) timeline_.stop();
}

void Simulator::play(const ScriptedEvent& event) {
  if (auto played = play_or_say_why(event); !played)
    log::warning("simulated event '{}' of task {}: {}", event.kind, event.pid, played.error().message());
}

Status Simulator::play_or_say_why(const ScriptedEvent& event) {
  if (event.kind == "credentials") {
    KernelEvent changed;
    changed.new_uid = static_cast<uint32_t>(event.value);
    FURNACE_TRY(changed.old_uid, world_->change_user(event.pid, changed.new_uid));
    return happen({EventKind::CredentialsChanged, event.pid, changed});
  }
  FURNACE_TRY(const Gpa root, world_->switch_to(event.vcpu, event.pid));
  Gva address{event.address};
  if (!event.symbol.empty()) {
    FURNACE_TRY(address, world_->symbol(event.symbol));
  }
  constexpr std::array<std::pair<std::string_view, EventKind>, 5> kinds{
      {{"syscall", EventKind::Syscall},
       {"cr3", EventKind::Cr3Write},
       {"int", EventKind::Breakpoint},
       {"mem", EventKind::MemoryAccess},
       {"request", EventKind::GuestRequest}}};
  const auto kind = std::find_if(kinds.begin(), kinds.end(), [&](const auto& each) {
                      return each.first == event.kind;
                    })->second;
  FURNACE_TRY(const Gva entry, world_->symbol("entry_SYSCALL_64"));
  const Gva rip = kind == EventKind::Breakpoint ? address : entry;
  vcpus_[event.vcpu] = registers_at(rip, root, guest_.levels, event);
  GuestEvent happened{.vcpu = event.vcpu,
                      .registers = vcpus_[event.vcpu],
                      .address = address,
                      .old_value = {},
                      .new_value = {}};
  if (kind == EventKind::MemoryAccess) {
    FURNACE_TRY(const Gpa place, world_->translate(event.pid, address));
    happened.access = kAccessWrite;
    happened.old_value = memory().read<uint64_t>(place);
    happened.new_value = event.value;
    world_->memory().put(place, event.value);
  }
  tell(kind, happened);
  if (!event.returns || kind != EventKind::Syscall) return {};
  KernelEvent returned;
  returned.number = event.number;
  returned.return_value = static_cast<int64_t>(event.result);
  happened.kernel = returned;
  tell(EventKind::SyscallReturn, happened);
  return {};
}

Result<uint64_t> Simulator::watch(const Watch& watch) {
  watches_.push_back({next_watch_, watch});
  return next_watch_++;
}

Status Simulator::unwatch(uint64_t watch) {
  const size_t removed = std::erase_if(watches_, [&](const WatchEntry& entry) { return entry.id == watch; });
  const size_t dropped =
      std::erase_if(pending_, [&](const GuestEvent& event) { return event.watch == watch; });
  if (dropped != 0 && pending_.empty()) proceed();  // no app will
  return removed != 0 ? Status() : fail(Errc::NotFound, "no watch {}", watch);
}

std::vector<GuestEvent> Simulator::take() {
  return {pending_.begin(), pending_.end()};
}

void Simulator::proceed() {
  pending_.clear();
  if (state_ == RunState::Running) go_on();
  run_timeline();
}

/// With what is left of a change, then with the timeline.
void Simulator::go_on() {
  while (pending_.empty() && !later_.empty()) {
    const Happening next = std::move(later_.front());
    later_.pop_front();
    if (auto happened = happen(next); !happened)
      log::warning("simulated event: {}", happened.error().message());
  }
  if (pending_.empty()) timeline_.go_on();
}

void Simulator::set_timer() {
  if (pending()) return;  // `proceed` comes soon, and sets it
  itimerspec when{};
  if (const auto wait = timeline_.until_next(); wait && pending_.empty()) {
    // A time of zero would disarm it.
    const int64_t ns = notices_.empty() ? std::max<int64_t>(wait->count(), 1) : 1;
    when.it_value = {ns / 1'000'000'000, ns % 1'000'000'000};
  }
  ::timerfd_settime(timer_.get(), 0, &when, nullptr);
}

}  // namespace furnace::hypervisor
