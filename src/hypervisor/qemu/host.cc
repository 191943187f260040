#include "hypervisor/qemu/host.h"

#include <poll.h>

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "base/text.h"

namespace furnace::hypervisor {
namespace {

/// Reads "NAME=value" and "NAME =value" pairs; segment and table registers have further columns.
class RegisterText {
 public:
  explicit RegisterText(std::string_view text) : rest_(text) {}

  /// The next name and the hexadecimal columns after its '='.
  bool next(std::string& name, std::vector<uint64_t>& columns) {
    const size_t equals = rest_.find('=');
    if (equals == std::string_view::npos) return false;
    size_t end = equals;
    while (end > 0 && rest_[end - 1] == ' ') --end;
    size_t start = end;
    while (start > 0 && std::isalnum(static_cast<unsigned char>(rest_[start - 1])) != 0) --start;
    name.clear();
    for (const char c : rest_.substr(start, end - start)) name += static_cast<char>(std::tolower(c));
    rest_.remove_prefix(equals + 1);
    columns.clear();
    while (true) {
      const size_t digit = rest_.find_first_not_of(' ');
      if (digit == std::string_view::npos) break;
      std::string_view after = rest_.substr(digit);
      const auto value = take_number<uint64_t>(after, 16);
      if (!value || (!after.empty() && kBlanks.find(after.front()) == std::string_view::npos)) break;
      columns.push_back(*value);
      rest_ = after;
      if (!rest_.starts_with(' ')) break;
    }
    return true;
  }

 private:
  std::string_view rest_;
};

/// The register that `info registers` shows under a name, and the base in its second column.
struct Shown {
  std::optional<Reg> first, base;
};
Shown shown_as(std::string_view name) {
  if (name == "rfl" || name == "efl") return {Reg::Rflags, {}};
  if (name == "gdt") return {Reg::GdtrBase, {}};
  if (name == "idt") return {Reg::IdtrBase, {}};
  if (name == "ldt") return {Reg::Ldtr, Reg::LdtrBase};
  // Of a vCPU that runs 32-bit code.
  if (name.size() == 3 && name.starts_with('e'))
    return {register_named(fmt::format("r{}", name.substr(1))), {}};
  return {register_named(name), register_named(fmt::format("{}_base", name))};
}

}  // namespace

Registers parse_registers(std::string_view text) {
  Registers registers;
  RegisterText reader(text.substr(0, text.find("FCW=")));
  std::string name;
  std::vector<uint64_t> columns;
  while (reader.next(name, columns)) {
    const Shown shown = shown_as(name);
    if (shown.first && !columns.empty()) registers.set(*shown.first, columns[0]);
    if (shown.base && columns.size() > 1) registers.set(*shown.base, columns[1]);
  }
  return registers;
}

QemuHost::QemuHost(QemuHandles& handles)
    : name_(handles.process.name),
      vcpus_(handles.setup.vcpus),
      pidfd_(std::move(handles.pidfd)),
      guard_(std::move(handles.guard)),
      qmp_(std::move(handles.qmp)),
      state_(handles.setup.running ? RunState::Running : RunState::Paused) {}

QemuHost::~QemuHost() {
  if (auto resumed = resume(); !resumed) log::debug("{}", resumed.error().message());
  visitors_ = std::min<size_t>(visitors_, 1);
  if (auto released = release_for_visitor(); !released) log::debug("{}", released.error().message());
  close_stub();
  if (unguarded_) Stub::settle_until(qmp_, closed_ + Stub::kUnsettled);
}

Status QemuHost::gone() const {
  return fail(Errc::Unavailable, "VM '{}' has exited: its QEMU has ended", name_);
}

Result<Registers> QemuHost::registers(uint32_t vcpu) {
  if (state_ == RunState::Gone) FURNACE_CHECK(gone());
  if (vcpu >= vcpus_) return fail(Errc::Invalid, "vCPU {} of {}", vcpu, vcpus_);
  FURNACE_TRY(const std::string answer,
              qmp_.command("human-monitor-command",
                           fmt::format(R"({{"command-line":"info registers","cpu-index":{}}})", vcpu)));
  const auto text = nlohmann::json::parse(answer, nullptr, false);
  if (!text.is_string()) return fail(Errc::Failed, "QEMU: no text from `info registers`");
  const Registers registers = parse_registers(text.get<std::string>());
  if (!registers.get(Reg::Cr3)) return fail(Errc::Invalid, "VM '{}' is not an x86 machine", name_);
  return complete(registers, fmt::format("VM '{}': `info registers`", name_));
}

Status QemuHost::pause() {
  if (state_ == RunState::Gone) return gone();
  if (state_ == RunState::Paused) return {};
  FURNACE_CHECK(guard_.note_paused());
  held_ = true;
  if (!stub_)
    if (auto stopped = qmp_.command("stop"); !stopped) return fail(stopped.error(), "pause");
  state_ = RunState::Paused;
  return {};
}

Status QemuHost::resume() {
  if (!held_) return {};
  if (state_ == RunState::Gone) return gone();
  if (!stub_ && visitors_ == 0)
    if (auto continued = qmp_.command("cont"); !continued) return fail(continued.error(), "resume");
  held_ = false;
  state_ = RunState::Running;
  return visitors_ == 0 ? guard_.note_resumed() : Status();
}

Result<std::optional<Stop>> QemuHost::hold_for_visitor() {
  if (state_ == RunState::Gone) FURNACE_CHECK(gone());
  if (visitors_ == 0) FURNACE_CHECK(guard_.note_paused());
  if (visitors_++ > 0) return std::nullopt;
  if (!stub_) {
    if (!held_) FURNACE_CHECK(qmp_.command("stop"));
    return std::nullopt;
  }
  if (!stub_->running()) return std::nullopt;
  FURNACE_TRY(const Stop stop, stub_->interrupt());
  run_when_left_ = !stop.by_debug;
  return stop.by_debug ? std::optional(stop) : std::nullopt;
}

Status QemuHost::release_for_visitor() {
  if (visitors_ == 0 || --visitors_ > 0) return {};
  const bool run = std::exchange(run_when_left_, false);
  if (state_ == RunState::Gone) return gone();
  if (stub_ && run) FURNACE_CHECK(stub_->run());
  if (!stub_ && !held_ && state_ == RunState::Running) FURNACE_CHECK(qmp_.command("cont"));
  return held_ ? Status() : guard_.note_resumed();
}

std::vector<int> QemuHost::descriptors() const {
  if (state_ == RunState::Gone) return {};
  std::vector<int> descriptors{pidfd_.get(), guard_.descriptor()};
  if (qmp_.connected()) descriptors.push_back(qmp_.descriptor());
  if (stub_) descriptors.push_back(stub_->descriptor());
  return descriptors;
}

std::vector<Notice> QemuHost::poll() {
  std::vector<Notice> notices;
  bool stopped = state_ == RunState::Paused;
  for (const std::string& event : qmp_.take_events()) {
    if (event == "RESET") notices.push_back(Notice::Reset);
    if (event == "STOP") stopped = true;
    if (event == "RESUME") stopped = false;
  }
  if (stopped && !held_ && visitors_ == 0 && !stub_ && Stub::settle(qmp_).value_or(false)) stopped = false;
  if (stub_) {  // most stops are its own
    look_for_foreign_resume();
    stopped = held_elsewhere_;
  }
  if (!held_ && visitors_ == 0 && stopped != (state_ == RunState::Paused) && state_ != RunState::Gone) {
    state_ = stopped ? RunState::Paused : RunState::Running;
    notices.push_back(stopped ? Notice::Paused : Notice::Resumed);
  }
  pollfd ended[] = {{pidfd_.get(), POLLIN, 0}, {guard_.descriptor(), POLLIN, 0}};
  if (state_ != RunState::Gone && ::poll(ended, std::size(ended), 0) > 0) {
    if (ended[0].revents != 0) state_ = RunState::Gone;
    unguarded_ = ended[1].revents != 0;
    notices.push_back(ended[0].revents != 0 ? Notice::Gone : Notice::Unguarded);
  }
  return notices;
}

Status QemuHost::open_stub() {
  if (stub_) return {};
  FURNACE_TRY(const std::string status, qmp_.command("query-status"));
  const bool stands = status.find(R"("running":false)") != std::string::npos;
  auto opened = open_stub(stands && !held_ && visitors_ == 0);
  if (!opened && !stands) (void)qmp_.command("cont");  // trying may have stopped it
  return opened;
}

Status QemuHost::reopen_stub() {
  // The guest is paused as it was at the cut, which does not show what stopped it.
  const bool held_elsewhere = held_elsewhere_;
  (void)let_go_of_stub();
  auto opened = open_stub(held_elsewhere);  // also takes the points back that were left
  if (!opened && !held_ && !held_elsewhere) (void)qmp_.command("cont");
  return opened;
}

Status QemuHost::open_stub(bool held_elsewhere) {
  earlier_resumes_ = qmp_.resumes();
  FURNACE_TRY(vcpus_, count_vcpus(qmp_));
  FURNACE_TRY(auto ends, socket_pair());
  FURNACE_CHECK(guard_.note_stub(ends.first));
  auto opened = Stub::open(qmp_, std::move(ends.first), ends.second);
  if (!opened) {
    (void)guard_.note_stub_closed();
    return fail(opened.error(), "events");
  }
  stub_.emplace(*std::move(opened));
  held_elsewhere_ = held_elsewhere;
  return guard_.note_held(held_elsewhere);
}

Status QemuHost::let_go_of_stub() {
  if (!stub_) return {};
  Status closed = stub_->close(qmp_, !held_ && !held_elsewhere_ && visitors_ == 0);
  run_when_left_ = false;
  stub_.reset();
  points_.clear();
  closed_ = Stub::Clock::now();
  (void)guard_.note_stub_closed();
  return closed;
}

void QemuHost::close_stub() {
  if (auto closed = let_go_of_stub(); closed || held_ || held_elsewhere_ || visitors_ > 0) return;
  if (auto running = qmp_.command("cont"); !running) log::error("{}", running.error().message());
}

void QemuHost::note_held_elsewhere(bool held) {
  held_elsewhere_ = held;
  (void)guard_.note_held(held);
}

void QemuHost::look_for_foreign_resume() {
  if (!held_elsewhere_ || qmp_.resumes() - earlier_resumes_ <= stub_->runs()) return;
  note_held_elsewhere(false);
  stub_->note_running();
}

Result<std::optional<Stop>> QemuHost::take_stop() {
  if (!running()) return std::nullopt;
  FURNACE_TRY(const auto stop, stub_->poll_stop());
  if (stop && !stop->by_debug) {
    log::debug("the guest was paused by another program while it is watched");
    note_held_elsewhere(true);
  }
  return stop;
}

Result<Stop> QemuHost::interrupt() {
  if (std::exchange(run_when_left_, false)) return Stop{};
  if (!running()) return fail(Errc::Invalid, "the guest does not run by the gdb stub");
  return stub_->interrupt();
}

Result<Stub*> QemuHost::standing(uint32_t vcpu) {
  if (!stub_ || stub_->running()) return fail(Errc::Invalid, "the guest is not stopped at the gdb stub");
  if (vcpu >= vcpus_) return fail(Errc::Invalid, "vCPU {} of {}", vcpu, vcpus_);
  return &*stub_;
}

Status QemuHost::run() {
  FURNACE_TRY(Stub * stub, standing());
  if (held_ || held_elsewhere_) return {};
  run_when_left_ = visitors_ > 0;
  return run_when_left_ ? Status() : stub->run();
}

Result<Stop> QemuHost::step(uint32_t vcpu) {
  FURNACE_TRY(Stub * stub, standing(vcpu));
  return stub->step(vcpu);
}

Result<Stop> QemuHost::run_one(uint32_t vcpu, std::chrono::milliseconds time) {
  constexpr std::chrono::milliseconds most(100);
  FURNACE_TRY(Stub * stub, standing(vcpu));
  return stub->run_one(vcpu, std::clamp(time, std::chrono::milliseconds(0), most));
}

Status QemuHost::insert(const StubPoint& point) {
  constexpr uint64_t most_bytes = guest::kPageSize;
  FURNACE_TRY(Stub * stub, standing());
  if (points_.size() >= kMostStubPoints)
    return fail(Errc::Busy, "{} watchpoints are in use: that is the limit", points_.size());
  if (point.length == 0 || point.length > most_bytes || point.kind > StubPoint::Kind::Access ||
      static_cast<int>(point.kind) == 1)
    return fail(Errc::Invalid, "no watchpoint of {} bytes and kind {}", point.length,
                static_cast<int>(point.kind));
  FURNACE_CHECK(stub->insert(point));
  points_.insert(point);
  return {};
}

Status QemuHost::remove(const StubPoint& point) {
  FURNACE_TRY(Stub * stub, standing());
  if (points_.erase(point) == 0) return fail(Errc::NotFound, "no watchpoint at {:#x}", point.address);
  return stub->remove(point);
}

bool QemuHost::watches_memory() const {
  return std::any_of(points_.begin(), points_.end(),
                     [](const StubPoint& point) { return point.kind != StubPoint::Kind::Breakpoint; });
}

Result<Registers> QemuHost::stub_registers(uint32_t vcpu) {
  FURNACE_TRY(Stub * stub, standing(vcpu));
  return stub->registers(vcpu);
}

Status QemuHost::set_instruction_pointer(uint32_t vcpu, uint64_t address) {
  FURNACE_TRY(Stub * stub, standing(vcpu));
  return stub->set_instruction_pointer(vcpu, address);
}

}  // namespace furnace::hypervisor
