#include "hypervisor/qemu/stub.h"

#include <poll.h>

#include <array>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "base/printable.h"
#include "base/text.h"
#include "hypervisor/qemu/setup.h"

namespace furnace::hypervisor {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;

constexpr std::string_view kChardev = "furnace-gdb";
constexpr auto kStopTime = 5s;  // a vCPU may be in the middle of a long instruction of an emulated device
constexpr auto kStepTime = 1s;

/// Thread ids are "pPID.TID" in QEMU's multiprocess form; vCPU N is thread N + 1 of process 1.
std::string thread_of(uint32_t vcpu) {
  return fmt::format("p1.{:x}", vcpu + 1);
}

struct Chardev {
  bool exists = false, connected = false;
  std::string device;  ///< as it was given to -gdb
};

Chardev read_chardev(std::string_view filename) {
  constexpr std::string_view waiting = "disconnected:";
  if (!filename.starts_with(waiting)) return {true, true, {}};
  return {true, false, fmt::format("{},wait=off", filename.substr(waiting.size()))};
}

Result<Chardev> chardev(Qmp& qmp, std::string_view label) {
  FURNACE_TRY(const std::string text, qmp.command("query-chardev"));
  const json list = json::parse(text, nullptr, false);
  if (!list.is_array()) return Chardev{};
  for (const json& each : list)
    if (each.is_object() && each.value("label", "") == label) return read_chardev(each.value("filename", ""));
  return Chardev{};
}

/// The label of our character device is free afterwards.
Status remove_chardev(Qmp& qmp) {
  FURNACE_TRY(const Chardev left, chardev(qmp, kChardev));
  if (!left.exists) return {};
  FURNACE_TRY(const std::string closed, qmp.human("gdbserver none"));
  FURNACE_TRY(const Chardev still, chardev(qmp, kChardev));
  if (still.exists) FURNACE_CHECK(qmp.command("chardev-remove", fmt::format(R"({{"id":"{}"}})", kChardev)));
  return {};
}

}  // namespace

Status Stub::let_go(GdbRemote& remote, bool run_on, By by) {
  constexpr auto time = 2s;
  // Answers to what a killed owner has asked are still on their way. Each asks a question here that the
  // other does not ask, so that its answer shows that QEMU has come as far as this.
  constexpr std::string_view owner_asks = "qAttached", guard_asks = "qqemu.sstepbits";
  // An owner that was killed may have let go already: QEMU 7.2 dereferences a null pointer when it is asked
  // `?` with no process attached (gdbstub.c, handle_target_halt). Attaching one that is attached does
  // nothing.
  FURNACE_CHECK(remote.send_raw("+\x03#00" + gdb_packet("vAttach;1") +
                                gdb_packet(by == By::Owner ? owner_asks : guard_asks)));
  const std::string_view expected = by == By::Owner ? "1" : "ENABLE=";
  constexpr int most = 64;  // stops of each vCPU that were on their way, and answers
  bool in_order = false;
  for (int packets = 0; packets < most && !in_order; ++packets) {
    FURNACE_TRY(const std::string answer, remote.receive(time));
    in_order = by == By::Owner ? answer == expected : answer.starts_with(expected);
  }
  if (!in_order) return fail(Errc::Invalid, "gdb stub: it does not answer '{}'", expected);
  if (run_on) {
    FURNACE_TRY(const std::string detached, remote.exchange("D;1"));  // QEMU removes all points first
    return detached == "OK" ? Status() : fail(Errc::Invalid, "gdb stub: '{}'", printable(detached));
  }
  // `?` removes the points of one vCPU, the one under control.
  FURNACE_TRY(std::string thread, remote.exchange("qfThreadInfo"));
  for (size_t vcpu = 0; vcpu < kMostVcpus && thread.starts_with("m"); ++vcpu) {
    FURNACE_TRY(const std::string controlled, remote.exchange("Hc" + thread.substr(1)));
    FURNACE_TRY(const std::string removed, remote.exchange("?"));
    FURNACE_TRY(thread, remote.exchange("qsThreadInfo"));
  }
  return {};
}

std::optional<Stop> parse_stop(std::string_view packet) {
  constexpr std::string_view by_signal_trap = "T05";
  if (packet.size() < by_signal_trap.size() || packet[0] != 'T') return std::nullopt;
  Stop stop;
  stop.by_debug = packet.starts_with(by_signal_trap);
  packet.remove_prefix(by_signal_trap.size());
  bool has_vcpu = false;
  for (const std::string_view field : items(packet, ';')) {
    const auto [key, value, complete] = cut(field, ':');
    if (!complete) continue;
    if (key == "thread") {
      const Cut id = cut(value, '.');
      const auto thread = parse_number<uint64_t>(id.found ? id.after : value, 16);
      if (!thread || *thread == 0 || *thread > UINT32_MAX) return std::nullopt;
      stop.vcpu = static_cast<uint32_t>(*thread - 1);
      has_vcpu = true;
    }
    constexpr std::array<std::pair<std::string_view, StubPoint::Kind>, 3> kinds{
        {{"watch", StubPoint::Kind::Write},
         {"rwatch", StubPoint::Kind::Read},
         {"awatch", StubPoint::Kind::Access}}};
    for (const auto& [name, kind] : kinds)
      if (key == name)
        if (const auto address = parse_number<uint64_t>(value, 16)) stop.watch = StubPoint{kind, *address, 0};
  }
  if (!has_vcpu) return std::nullopt;
  return stop;
}

Result<bool> Stub::settle(Qmp& qmp) {
  FURNACE_TRY(const std::string text, qmp.command("query-status"));
  const json status = json::parse(text, nullptr, false);
  if (!status.is_object() || status.value("status", "") != "debug") return false;
  FURNACE_TRY(const Chardev debugger, chardev(qmp, "gdb"));
  FURNACE_TRY(const Chardev another, chardev(qmp, kChardev));
  if (debugger.connected || another.connected) return false;
  FURNACE_CHECK(qmp.command("cont"));
  return true;
}

void Stub::settle_until(Qmp& qmp, Clock::time_point end) {
  constexpr int between_looks = 20;  // ms; the partition may poll, not sleep
  while (Clock::now() < end && settle(qmp)) ::poll(nullptr, 0, between_looks);
}

void Stub::remove_left(Qmp& qmp) {
  constexpr int tries = 10, between_tries = 20;  // ms: QEMU sees the end of a connection in its own time
  for (int i = 0; i < tries; ++i) {
    const auto left = chardev(qmp, kChardev);
    if (!left || !left->exists) return;
    if (!left->connected) {
      (void)qmp.human("gdbserver none");
      return;
    }
    ::poll(nullptr, 0, between_tries);
  }
}

Result<bool> Stub::recover(Qmp& qmp) {
  FURNACE_TRY(const Chardev left, chardev(qmp, kChardev));
  if (!left.exists) return settle(qmp);
  FURNACE_TRY(auto ends, socket_pair());
  FURNACE_TRY(Stub stub, open(qmp, std::move(ends.first), ends.second));
  FURNACE_CHECK(stub.close(qmp, true));
  return true;
}

Result<Stub> Stub::open(Qmp& qmp, Fd ours, const Fd& theirs) {
  FURNACE_TRY(const Chardev configured, chardev(qmp, "gdb"));
  if (configured.connected)
    return fail(Errc::Unavailable,
                "a debugger is attached to QEMU's gdb stub (-gdb): events need the stub for themselves");
  FURNACE_CHECK(remove_chardev(qmp));
  FURNACE_CHECK(qmp.command("getfd", fmt::format(R"({{"fdname":"{}"}})", kChardev), theirs.get()));
  FURNACE_CHECK(qmp.command("chardev-add",
                            fmt::format(R"({{"id":"{0}","backend":{{"type":"socket","data":{{"server":false,)"
                                        R"("addr":{{"type":"fd","data":{{"str":"{0}"}}}}}}}}}})",
                                        kChardev)));
  FURNACE_TRY(const std::string said, qmp.human(fmt::format("gdbserver chardev:{}", kChardev)));
  Stub stub{GdbRemote(std::move(ours))};
  if (configured.exists) stub.own_device_ = configured.device;
  if (auto greeted = stub.greet(); !greeted)
    return fail(greeted.error(), fmt::format("QEMU's gdb stub ({})", printable(said)));
  return stub;
}

Status Stub::greet() {
  FURNACE_TRY(const std::string features, remote_.exchange("qSupported:multiprocess+"));
  if (features.find("multiprocess+") == std::string::npos ||
      features.find("qXfer:features:read+") == std::string::npos)
    return fail(Errc::Unavailable, "it lacks what is needed: it offers '{}'", printable(features));
  // The first `?` also removes what an earlier connection left.
  FURNACE_TRY(const std::string stop, remote_.exchange("?"));
  if (!parse_stop(stop)) return fail(Errc::Invalid, "'{}' in place of a stop", printable(stop));
  FURNACE_TRY(const std::string target, read_description("target.xml"));
  std::string core;
  const std::string_view include = "href=\"";
  const size_t start = target.find(include);
  if (start != std::string::npos) {
    const size_t name = start + include.size();
    FURNACE_TRY(core, read_description(target.substr(name, target.find('"', name) - name)));
  }
  FURNACE_TRY(layout_, RegisterLayout::parse(core));
  return select(0);
}

Result<std::string> Stub::read_description(std::string_view name) {
  constexpr size_t most = 1 << 20;
  std::string text;
  while (text.size() < most) {
    const auto piece = remote_.exchange(fmt::format("qXfer:features:read:{}:{:x},ff0", name, text.size()));
    if (!piece) return tl::unexpected<Error>(piece.error());
    const bool last = piece->starts_with("l");
    if (!last && !piece->starts_with("m"))
      return fail(Errc::Invalid, "no target description '{}'", printable(name));
    text.append(*piece, 1);
    if (last) return text;
    if (piece->size() == 1) break;
  }
  return fail(Errc::Invalid, "target description '{}' has no end", printable(name));
}

Status Stub::select(uint32_t vcpu) {
  FURNACE_TRY(const std::string answer, remote_.exchange("Hg" + thread_of(vcpu)));
  if (answer != "OK") return fail(Errc::Invalid, "vCPU {}: the gdb stub says '{}'", vcpu, printable(answer));
  selected_ = vcpu;
  return {};
}

Result<std::optional<Stop>> Stub::poll_stop() {
  FURNACE_TRY(const auto packet, remote_.try_receive());
  if (!packet) return std::nullopt;
  auto stop = parse_stop(*packet);
  if (!stop) return fail(Errc::Invalid, "gdb stub: '{:.80}' in place of a stop", printable(*packet));
  running_ = false;
  selected_ = controlled_ = stop->vcpu;
  return stop;
}

Result<Stop> Stub::wait_stop(std::chrono::milliseconds time) {
  FURNACE_TRY(const std::string packet, remote_.receive(time));
  const auto stop = parse_stop(packet);
  if (!stop) return fail(Errc::Invalid, "gdb stub: '{:.80}' in place of a stop", printable(packet));
  running_ = false;
  selected_ = controlled_ = stop->vcpu;
  return *stop;
}

Result<Stop> Stub::interrupt() {
  FURNACE_CHECK(remote_.send_raw("\x03"));
  return wait_stop(kStopTime);
}

Status Stub::run() {
  FURNACE_CHECK(remote_.send("vCont;c"));
  running_ = true;
  ++runs_;
  return {};
}

Result<Stop> Stub::step(uint32_t vcpu) {
  return move_one('s', vcpu, kStepTime);
}

Result<Stop> Stub::run_one(uint32_t vcpu, std::chrono::milliseconds time) {
  return move_one('c', vcpu, time);
}

Result<Stop> Stub::move_one(char action, uint32_t vcpu, std::chrono::milliseconds time) {
  // When a step is interrupted before its end, QEMU ends the single-stepping of the vCPU that it controls and
  // of no other (gdbstub.c, gdb_vm_state_change). A vCPU left stepping would stop the guest later, for good
  // if no debugger is attached by then.
  if (controlled_ != vcpu) {
    FURNACE_TRY(const std::string answer, remote_.exchange("Hc" + thread_of(vcpu)));
    if (answer != "OK")
      return fail(Errc::Invalid, "vCPU {}: the gdb stub says '{}'", vcpu, printable(answer));
    controlled_ = vcpu;
  }
  FURNACE_CHECK(remote_.send(fmt::format("vCont;{}:{}", action, thread_of(vcpu))));
  ++runs_;
  running_ = true;
  auto stop = wait_stop(time);
  if (stop || stop.error().code() != Errc::Unavailable || !remote_.connected()) return stop;
  return interrupt();  // a vCPU that waits for an interrupt makes no step
}

Status Stub::change(char verb, const StubPoint& point) {
  FURNACE_TRY(const std::string answer,
              remote_.exchange(fmt::format("{}{},{:x},{:x}", verb, static_cast<int>(point.kind),
                                           point.address, point.length)));
  if (answer == "OK") return {};
  return fail(Errc::Unavailable, "the hypervisor can't watch {} bytes at {:#x}{}", point.length,
              point.address,
              verb == 'Z' ? ": its debug registers are used up, or it lacks them" : " any less");
}

Status Stub::insert(const StubPoint& point) {
  return change('Z', point);
}

Status Stub::remove(const StubPoint& point) {
  return change('z', point);
}

Result<Registers> Stub::registers(uint32_t vcpu) {
  if (vcpu != selected_) FURNACE_CHECK(select(vcpu));
  FURNACE_TRY(const std::string answer, remote_.exchange("g"));
  return layout_.decode(answer);
}

Status Stub::set_instruction_pointer(uint32_t vcpu, uint64_t address) {
  if (vcpu != selected_) FURNACE_CHECK(select(vcpu));
  std::string digits;
  for (int i = 0; i < 8; ++i) digits += fmt::format("{:02x}", (address >> (8 * i)) & 0xff);
  const auto rip = layout_.number(Reg::Rip);
  if (!rip) return fail(Errc::Invalid, "gdb stub: its target description has no register rip");
  FURNACE_TRY(const std::string answer, remote_.exchange(fmt::format("P{:x}={}", *rip, digits)));
  return answer == "OK" ? Status() : fail(Errc::Failed, "gdb stub: rip not set: '{}'", printable(answer));
}

Status Stub::close(Qmp& qmp, bool run_on) {
  // Closed before QEMU has read all of it, the stub would leave the guest stopped, with its points.
  Status gone = let_go(remote_, run_on, By::Owner);
  (void)qmp.human("gdbserver " + own_device_);
  return gone;
}

}  // namespace furnace::hypervisor
