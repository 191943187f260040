#include "hypervisor/qemu/stub_events.h"

#include <algorithm>
#include <array>

#include "base/log.h"
#include "hypervisor/qemu/step_hazard.h"
#include "hypervisor/qemu/stub_points.h"

namespace furnace::hypervisor {
namespace {

using Kind = StubPoint::Kind;

constexpr size_t kMaxRetries = 256;
constexpr size_t kCode = 15;

bool may_read(Kind kind) {
  return kind == Kind::Read || kind == Kind::Access;
}

bool may_write(Kind kind) {
  return kind == Kind::Write || kind == Kind::Access;
}

/// Returns true if the vCPU waits for an interrupt: it is after `hlt` or `mwait`.
bool waits(const VcpuMemory& memory, const Registers& registers) {
  std::array<std::byte, 3> before{};
  const uint64_t rip = registers.rip();
  if (memory.read(registers, rip - before.size(), before) != before.size()) return false;
  constexpr std::array mwait{std::byte{0x0f}, std::byte{0x01}, std::byte{0xc9}};
  return before.back() == std::byte{0xf4} || before == mwait;
}

}  // namespace

Status StubEvents::ensure_open() {
  if (open_) return {};
  if (std::exchange(loses_flags_, false))
    log::warning(
        "this QEMU (older than 8.0, without KVM) loses a vCPU's flags when it is stopped right after "
        "cmpxchg16b, and now and then crashes a guest amid events; start it with -cpu ...,-cx16");
  FURNACE_CHECK(control_.open_stub());
  open_ = true;
  return {};
}

void StubEvents::close() {
  if (!std::exchange(open_, false)) return;
  control_.close_stub();
  forget_all();
}

void StubEvents::forget_all() {
  watches_.clear();
  points_.clear();
  events_.clear();
  standing_.clear();
  retries_.clear();
  watched_bytes_.clear();
}

Status StubEvents::stand() {
  if (!control_.running()) return {};
  FURNACE_TRY(const Stop stop, control_.interrupt());
  note(stop);
  return {};
}

Result<uint64_t> StubEvents::watch(const Watch& watch) {
  Watched watched{watch, {}};
  FURNACE_TRY(watched.points, points_of(watch));
  if (points_.size() + watched.points.size() > kMostStubPoints)
    return fail(Errc::Busy, "{} watchpoints are in use and {} more are needed: {} is the limit",
                points_.size(), watched.points.size(), kMostStubPoints);
  FURNACE_CHECK(ensure_open());
  FURNACE_CHECK(stand());
  const uint64_t number = next_watch_++;
  Status inserted = insert(number, watched);
  if (inserted) watches_.emplace(number, std::move(watched));
  if (auto gone = go(); !gone && inserted) inserted = std::move(gone);
  if (!inserted) {
    if (watches_.empty()) close();
    return tl::unexpected<Error>(inserted.error());
  }
  return number;
}

Status StubEvents::insert(uint64_t watch, Watched& watched) {
  for (const StubPoint& point : watched.points) {
    auto& users = points_[point];
    if (users.empty())
      if (auto inserted = control_.insert(point); !inserted) {
        points_.erase(point);
        for (const StubPoint& undone : watched.points) (void)remove_point(undone, watch);
        return inserted;
      }
    users.insert(watch);
  }
  if (!reports_access(watched.watch)) return {};
  std::optional<guest::PageTable> table = watched.watch.table;
  if (!table)
    if (const auto registers = control_.stub_registers(0)) table = VcpuMemory(memory_).table_of(*registers);
  if (!table) return {};
  constexpr uint64_t slot = WatchedBytes::kSlot;
  for (const StubPoint& point : watched.points)
    if (point.kind != Kind::Breakpoint && point.length <= slot)
      watched_bytes_.add(*table, point.address / slot * slot);
  watched_bytes_.refresh(*table, watched.watch.address.value, watched.watch.length);
  return {};
}

Status StubEvents::remove_point(const StubPoint& point, uint64_t watch) {
  const auto found = points_.find(point);
  if (found == points_.end() || found->second.erase(watch) == 0 || !found->second.empty()) return {};
  points_.erase(found);
  if (point.kind != Kind::Breakpoint)
    watched_bytes_.remove(point.address / WatchedBytes::kSlot * WatchedBytes::kSlot);
  return control_.remove(point);
}

Status StubEvents::unwatch(uint64_t watch) {
  const auto found = watches_.find(watch);
  if (found == watches_.end()) return fail(Errc::NotFound, "no watch {}", watch);
  const Status stood = stand();
  const Watched watched = std::move(found->second);
  watches_.erase(found);
  if (!stood) {  // without this watch
    lost_connection(stood.error());
    return {};
  }
  std::erase_if(events_, [&](const GuestEvent& event) { return event.watch == watch; });
  if (watches_.empty()) {
    close();  // removes the points
    return {};
  }
  Status removed;
  for (const StubPoint& point : watched.points)
    if (auto done = remove_point(point, watch); !done) removed = std::move(done);
  FURNACE_CHECK(go());
  return removed;
}

void StubEvents::forget() {
  close();
}

bool StubEvents::check_in_place() {
  if (!open_ || control_.held_elsewhere()) return true;
  const Status checked = check_some_points();
  if (!checked) lost_connection(checked.error());
  return checked.has_value();
}

/// QEMU says that it can't remove a point which one of its vCPUs lacks, as a vCPU does that was plugged in
/// later.
Status StubEvents::check_some_points() {
  constexpr int most = 64;  // the guest is stopped meanwhile
  FURNACE_CHECK(stand());
  auto next = checked_ ? points_.upper_bound(*checked_) : points_.begin();
  checked_.reset();
  for (int i = 0; i < most && next != points_.end(); ++i, ++next) {
    FURNACE_CHECK(control_.remove(next->first));
    FURNACE_CHECK(control_.insert(next->first));
    checked_ = next->first;
  }
  if (next == points_.end()) checked_.reset();  // the next check begins from the start
  return go();
}

std::vector<GuestEvent> StubEvents::take() {
  if (!open_) return {};
  if (control_.running()) {
    auto stop = control_.take_stop();
    if (!stop) {
      lost_connection(stop.error());
      return {};
    }
    if (*stop) note(**stop);
  }
  return events_;
}

void StubEvents::proceed() {
  events_.clear();
  if (!open_) return;
  if (auto gone = go(); !gone) lost_connection(gone.error());
}

Status StubEvents::hold() {
  held_ = true;
  return open_ ? stand() : Status();
}

Status StubEvents::release() {
  held_ = false;
  return open_ ? go() : Status();
}

Status StubEvents::go() {
  if (held_ || control_.held_elsewhere() || control_.running() || !events_.empty()) return {};
  for (const Standing& standing : std::exchange(standing_, {})) FURNACE_CHECK(pass_breakpoint(standing));
  if (!events_.empty()) return {};  // a step made one: it is dealt with first
  return control_.run();
}

StubEvents::Retry StubEvents::retry_of(const Registers& registers) {
  // Without the bits of CR3 that change when the process is scheduled again.
  return {registers.rip(), guest::root_of(registers.cr3()).value, registers.rsp()};
}

Status StubEvents::pass_breakpoint(const Standing& standing) {
  const uint64_t rip = standing.registers.rip();
  if (!points_.contains({Kind::Breakpoint, rip, 1})) return {};
  std::array<std::byte, kCode> buffer{};
  const auto code = std::span(buffer).first(VcpuMemory(memory_).read(standing.registers, rip, buffer));
  const auto instruction = disassembler_.decode(code, rip, standing.registers, false);
  // A kernel function begins with a nop for its tracer. It needs no step, of which each costs the guest all
  // its translated code (QEMU: gdb_vm_state_change flushes it).
  if (instruction && instruction->no_effect)
    return control_.set_instruction_pointer(standing.vcpu, rip + instruction->length);
  const bool runs = tcg_ && instruction && pass_by(code) == PassBy::Run;
  FURNACE_TRY(const Registers after, runs ? run_to_next(standing, instruction->length)
                                          : step_once(standing, instruction && instruction->repeats));
  const uint64_t now = after.rip();
  constexpr uint64_t kernel_half = 1ULL << 63;
  const bool ran = instruction && (instruction->goes_elsewhere || instruction->enters_kernel ||
                                   instruction->repeats || now == rip + instruction->length);
  const bool faulted =
      now >= kernel_half && rip < kernel_half && !(instruction && instruction->enters_kernel);
  if ((!ran || faulted) && retries_.size() < kMaxRetries) retries_.insert(retry_of(standing.registers));
  return {};
}

/// Steps over an instruction. Now and then QEMU ends a step before the instruction has run; then it is done
/// again.
Result<Registers> StubEvents::step_once(const Standing& standing, bool may_stay) {
  constexpr int tries = 4;  // a jump to itself never gets further
  for (int i = 1;; ++i) {
    FURNACE_TRY(const Stop stop, control_.step(standing.vcpu));
    FURNACE_TRY(const Registers after, control_.stub_registers(standing.vcpu));
    if (stop.watch) note_access(standing.vcpu, *stop.watch, after);
    const bool moved = after.rip() != standing.registers.rip() || after.rsp() != standing.registers.rsp();
    if (moved || may_stay || stop.watch || i == tries) return after;
  }
}

/// Lets the vCPU run to the instruction after the one it is at, the other vCPUs stay stopped. An interrupt
/// may come first and wait for another vCPU: after a short time the vCPU is stopped wherever it is, and
/// reaches its instruction later.
Result<Registers> StubEvents::run_to_next(const Standing& standing, uint32_t length) {
  constexpr auto time = std::chrono::milliseconds(20);
  const uint64_t rip = standing.registers.rip();
  const StubPoint here{Kind::Breakpoint, rip, 1}, next{Kind::Breakpoint, rip + length, 1};
  const bool stops_here = points_.contains(here), stops_next = points_.contains(next);
  if (stops_here) FURNACE_CHECK(control_.remove(here));
  Status placed = stops_next ? Status() : control_.insert(next);
  auto stop = placed ? control_.run_one(standing.vcpu, time) : tl::unexpected<Error>(placed.error());
  if (placed && !stops_next) FURNACE_CHECK(control_.remove(next));
  if (stops_here) FURNACE_CHECK(control_.insert(here));
  if (!stop) return tl::unexpected<Error>(stop.error());
  FURNACE_TRY(const Registers after, control_.stub_registers(standing.vcpu));
  if (stop->watch) note_access(standing.vcpu, *stop->watch, after);
  return after;
}

void StubEvents::note(const Stop& stop) {
  if (stop.by_debug) {
    auto registers = control_.stub_registers(stop.vcpu);
    if (!registers) return log::warning("event of vCPU {}: {}", stop.vcpu, registers.error().message());
    if (stop.watch)
      note_access(stop.vcpu, *stop.watch, *registers);
    else
      note_breakpoint(stop.vcpu, *std::move(registers));
  }
  note_hidden(stop);
}

void StubEvents::note_breakpoint(uint32_t vcpu, Registers registers) {
  const uint64_t rip = registers.rip();
  const auto point = points_.find({Kind::Breakpoint, rip, 1});
  if (point == points_.end()) return;  // removed while it fired
  if (retries_.erase(retry_of(registers)) == 0)
    for (const uint64_t watch : point->second)
      events_.push_back(event_here(watch, watches_.at(watch).watch.kind, vcpu, registers));
  standing_.push_back({vcpu, std::move(registers)});
}

void StubEvents::note_access(uint32_t vcpu, const StubPoint& hit, const Registers& registers) {
  const auto point = points_.lower_bound({hit.kind, hit.address, 0});
  if (point == points_.end() || point->first.kind != hit.kind || point->first.address != hit.address)
    return;  // removed while it fired
  note_known_writers(vcpu, hit.address, registers);
  const bool anyone = std::any_of(watches_.begin(), watches_.end(),
                                  [&](const auto& each) { return reports_access(each.second.watch); });
  if (!anyone) return;
  const auto access = watched_bytes_.identify(registers, hit.address, point->first.length, may_read(hit.kind),
                                              may_write(hit.kind));
  // The stub names one watchpoint; others that hold the same bytes were hit as well.
  for (const auto& [number, watched] : watches_) {
    const Watch& watch = watched.watch;
    const uint64_t start = watch.address.value;
    if (!reports_access(watch) || access.address >= start + watch.length ||
        access.address + access.bytes <= start)
      continue;
    const unsigned seen = kAccessRead * unsigned{access.read} + kAccessWrite * unsigned{access.wrote};
    if ((seen & watch.access) == 0) continue;
    events_.push_back({.watch = number,
                       .vcpu = vcpu,
                       .registers = registers,
                       .address = guest::Gva{access.address},
                       .access = static_cast<uint8_t>(seen & watch.access),
                       .old_value = access.old_value,
                       .new_value = access.new_value});
  }
}

/// Of memory that is watched for what known instructions write to it.
void StubEvents::note_known_writers(uint32_t vcpu, uint64_t hit, const Registers& registers) {
  const guest::Gva rip{registers.rip()};
  for (const auto& [number, watched] : watches_) {
    const auto& after = watched.watch.after;
    if (watched.watch.address.value == hit && std::find(after.begin(), after.end(), rip) != after.end())
      events_.push_back({.watch = number,
                         .vcpu = vcpu,
                         .registers = registers,
                         .address = watched.watch.address,
                         .old_value = {},
                         .new_value = {}});
  }
}

/// Finds hits of two vCPUs at a time, or of one that was being stopped: QEMU reports one of them. A
/// breakpoint hits again, but a watched access is over. The vCPU keeps the hit until a stop of its own
/// reports it, which the next instruction makes it do.
void StubEvents::note_hidden(const Stop& reported) {
  const bool watching = std::any_of(points_.begin(), points_.end(),
                                    [](const auto& point) { return point.first.kind != Kind::Breakpoint; });
  if (!watching || (control_.vcpus() == 1 && reported.by_debug)) return;
  for (uint32_t vcpu = 0; vcpu < control_.vcpus(); ++vcpu) {
    if (vcpu == reported.vcpu && reported.by_debug) continue;
    const auto registers = control_.stub_registers(vcpu);
    if (!registers || !may_hide_a_hit(*registers)) continue;
    reveal_hit(vcpu, *registers);
  }
}

void StubEvents::reveal_hit(uint32_t vcpu, const Registers& registers) {
  const uint64_t rip = registers.rip();
  std::array<std::byte, kCode> buffer{};
  const auto code = std::span(buffer).first(VcpuMemory(memory_).read(registers, rip, buffer));
  if (!tcg_ || pass_by(code) == PassBy::Step) {
    const auto stop = control_.step(vcpu);
    if (stop && stop->watch) note_access(vcpu, *stop->watch, registers);
    return;
  }
  const auto instruction = disassembler_.decode(code, rip, registers, false);
  if (!instruction) return;
  if (auto after = run_to_next({vcpu, registers}, instruction->length); !after)
    log::warning("vCPU {}: {}", vcpu, after.error().message());
}

bool StubEvents::may_hide_a_hit(const Registers& registers) const {
  const guest::Gva rip{registers.rip()};
  bool anywhere = false;
  for (const auto& [number, watched] : watches_) {
    if (watched.watch.kind != EventKind::MemoryAccess) continue;
    const auto& after = watched.watch.after;
    if (std::find(after.begin(), after.end(), rip) != after.end()) return true;
    anywhere = anywhere || after.empty();
  }
  return anywhere && !waits(VcpuMemory(memory_), registers);
}

void StubEvents::lost_connection(const Error& why) {
  log::warning("{}: opening it again", why.message());
  auto watches = std::exchange(watches_, {});
  forget_all();
  Status again = control_.reopen_stub();
  for (auto& [number, watched] : watches) {
    if (again) again = insert(number, watched);
    if (again) watches_.emplace(number, std::move(watched));
  }
  if (again) again = go();
  if (!again) log::error("events of the guest end: {}", again.error().message());
  if (!again || watches_.empty()) close();
}

}  // namespace furnace::hypervisor
