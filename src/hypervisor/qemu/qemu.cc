#include "hypervisor/qemu/qemu.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/log.h"

namespace furnace::hypervisor {
namespace {

/// Reads "NAME=value" and "NAME =value" pairs; segment and table registers have further columns.
class RegisterText {
 public:
  explicit RegisterText(std::string_view text) : rest_(text) {}

  /// The next name and the hexadecimal columns behind its '='.
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
      uint64_t value = 0;
      const auto [stop, error] =
          std::from_chars(rest_.data() + digit, rest_.data() + rest_.size(), value, 16);
      const bool complete =
          stop == rest_.data() + rest_.size() || *stop == ' ' || *stop == '\n' || *stop == '\r';
      if (error != std::errc() || !complete) break;
      columns.push_back(value);
      rest_.remove_prefix(static_cast<size_t>(stop - rest_.data()));
      if (!rest_.starts_with(' ')) break;
    }
    return true;
  }

 private:
  std::string_view rest_;
};

bool is_segment(std::string_view name) {
  return name.size() == 2 && name[1] == 's' &&
         std::string_view("cdefgs").find(name[0]) != std::string_view::npos;
}

}  // namespace

Registers parse_registers(std::string_view text) {
  Registers registers;
  RegisterText reader(text.substr(0, text.find("FCW=")));
  std::string name;
  std::vector<uint64_t> columns;
  while (reader.next(name, columns)) {
    if (columns.empty()) continue;
    if (is_segment(name)) {
      registers.set(name, columns[0]);
      if (columns.size() > 1) registers.set(name + "_base", columns[1]);
    } else if (name == "gdt" || name == "idt") {
      registers.set(name + "r_base", columns[0]);
    } else {
      registers.set(name == "rfl" ? "rflags" : name, columns[0]);
    }
  }
  return registers;
}

Result<std::unique_ptr<Hypervisor>> Qemu::attach(const std::string& name) {
  FURNACE_TRY(QemuHandles handles, QemuHandles::open(name));
  return attach(std::move(handles));
}

std::unique_ptr<Hypervisor> Qemu::attach(QemuHandles handles) {
  return std::unique_ptr<Hypervisor>(new Qemu(std::move(handles)));
}

Qemu::Qemu(QemuHandles handles)
    : process_(std::move(handles.process)),
      pidfd_(std::move(handles.pidfd)),
      guard_(std::move(handles.guard)),
      qmp_(std::move(handles.qmp)),
      ram_(std::move(handles.ram)),
      events_(qmp_, guard_, ram_, handles.setup),
      state_(handles.setup.running ? RunState::Running : RunState::Paused),
      vcpus_(handles.setup.vcpus) {}

Qemu::~Qemu() {
  if (auto resumed = resume(); !resumed) log::debug("{}", resumed.error().message());
  const bool was_open = events_.open();
  events_.close();
  if (was_open && unguarded_) Stub::settle_until(qmp_, Stub::Clock::now() + Stub::kUnsettled);
}

uint64_t Qemu::memory_size() const {
  uint64_t size = 0;
  for (const auto& range : ram_.ranges()) size += range.size();
  return size;
}

Status Qemu::gone() const {
  return fail(Errc::Unavailable, "VM '{}' is gone: its QEMU has ended", process_.name);
}

Result<std::optional<Registers>> Qemu::registers(uint32_t vcpu) {
  if (state_ == RunState::Gone) FURNACE_CHECK(gone());
  if (vcpu >= vcpus_) return fail(Errc::Invalid, "vCPU {} of {}", vcpu, vcpus_);
  FURNACE_TRY(const std::string answer,
              qmp_.command("human-monitor-command",
                           fmt::format(R"({{"command-line":"info registers","cpu-index":{}}})", vcpu)));
  const auto text = nlohmann::json::parse(answer, nullptr, false);
  if (!text.is_string()) return fail(Errc::Failed, "QEMU: no text from `info registers`");
  Registers registers = parse_registers(text.get<std::string>());
  if (!registers.get("cr3")) return fail(Errc::Invalid, "VM '{}' is not an x86 machine", process_.name);
  if (!registers.get("rip") && !registers.get("eip"))
    return fail(Errc::Invalid, "VM '{}': no instruction pointer in `info registers`", process_.name);
  return registers;
}

Status Qemu::pause() {
  if (state_ == RunState::Gone) return gone();
  if (state_ == RunState::Paused) return {};
  FURNACE_CHECK(guard_.note_paused());
  paused_by_us_ = true;
  if (auto held = events_.hold(); !held) return fail(held.error(), "pause");
  if (!events_.open())
    if (auto stopped = qmp_.command("stop"); !stopped) return fail(stopped.error(), "pause");
  state_ = RunState::Paused;
  return {};
}

Status Qemu::resume() {
  if (!paused_by_us_) return {};
  if (state_ == RunState::Gone) return gone();
  if (auto released = events_.release(); !released) return fail(released.error(), "resume");
  if (!events_.open())
    if (auto continued = qmp_.command("cont"); !continued) return fail(continued.error(), "resume");
  paused_by_us_ = false;
  state_ = RunState::Running;
  return guard_.note_resumed();
}

std::vector<int> Qemu::descriptors() const {
  std::vector<int> descriptors{pidfd_.get(), guard_.descriptor()};
  if (qmp_.connected()) descriptors.push_back(qmp_.descriptor());
  if (events_.open()) descriptors.push_back(events_.descriptor());
  if (state_ == RunState::Gone) descriptors.clear();
  return descriptors;
}

std::vector<Notice> Qemu::poll() {
  std::vector<Notice> notices;
  bool stopped = state_ == RunState::Paused;
  for (const std::string& event : qmp_.take_events()) {
    if (event == "RESET") notices.push_back(Notice::Reset);
    if (event == "STOP") stopped = true;
    if (event == "RESUME") stopped = false;
  }
  if (stopped && !paused_by_us_ && !events_.open() && Stub::settle(qmp_).value_or(false)) stopped = false;
  // While the stub is open most stops are its own.
  if (events_.open()) stopped = events_.held_elsewhere();
  if (!paused_by_us_ && stopped != (state_ == RunState::Paused) && state_ != RunState::Gone) {
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

}  // namespace furnace::hypervisor
