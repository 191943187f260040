#include "hypervisor/qemu/handles.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "hypervisor/qemu/stub.h"

namespace furnace::hypervisor {
namespace {

using nlohmann::json;

Result<json> ask(Qmp& qmp, std::string_view command, std::string_view arguments = {}) {
  FURNACE_TRY(const std::string text, qmp.command(command, arguments));
  return json::parse(text, nullptr, false);
}

Result<QemuHandles::Setup> ask_for_setup(Qmp& qmp) {
  QemuHandles::Setup setup;
  FURNACE_TRY(const auto status, ask(qmp, "query-status"));
  setup.running = !status.is_object() || status.value("running", true);
  FURNACE_TRY(const auto cpus, ask(qmp, "query-cpus-fast"));
  if (cpus.is_array() && !cpus.empty()) setup.vcpus = static_cast<uint32_t>(cpus.size());
  FURNACE_TRY(const auto kvm, ask(qmp, "query-kvm"));
  setup.tcg = !kvm.is_object() || !kvm.value("enabled", false);
  if (!setup.tcg) return setup;
  FURNACE_TRY(setup.loses_flags, loses_flags(qmp));
  return setup;
}

}  // namespace

Result<bool> loses_flags(Qmp& qmp) {
  FURNACE_TRY(const auto version, ask(qmp, "query-version"));
  const json numbers = version.is_object() ? version.value("qemu", json::object()) : json::object();
  constexpr int mended = 8;
  if (!numbers.is_object() || numbers.value("major", 0) >= mended) return false;
  FURNACE_TRY(const auto cpus, ask(qmp, "query-cpus-fast"));
  if (!cpus.is_array() || cpus.empty() || !cpus[0].is_object()) return false;
  const json property = {{"path", cpus[0].value("qom-path", "")}, {"property", "cx16"}};
  const auto has = qmp.command("qom-get", property.dump());
  return has && *has == "true";
}

Result<QemuHandles> QemuHandles::open(const std::string& name) {
  FURNACE_TRY(QemuProcess process, find_qemu_process(name));
  if (process.qmp_sockets.empty())
    return fail(
        Errc::Unavailable, "QEMU '{}' (pid {}) {}", name, process.pid,
        process.libvirt_only
            ? "has libvirt's own QMP socket alone, which libvirt holds; add a second one to the domain: "
              "<qemu:commandline><qemu:arg value='-qmp'/><qemu:arg value='unix:PATH,server=on,wait=off'/>, "
              "or use "
              "virsh qemu-monitor-command to add it"
            : "has no QMP socket; start it with -qmp unix:PATH,server=on,wait=off");
  Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, process.pid, 0)));
  if (!pidfd.valid()) return fail_errno("pidfd of QEMU (pid {})", process.pid);

  // Several QMP sockets serve several clients: the first free one is ours.
  std::optional<Error> reason;
  for (const auto& socket : process.qmp_sockets) {
    FURNACE_TRY(Guard guard, Guard::start(socket));
    auto qmp = Qmp::connect(socket);
    if (!qmp) {
      reason = qmp.error();
      continue;
    }
    FURNACE_TRY(GuestRam ram, GuestRam::open(*qmp, process.pid));
    FURNACE_CHECK(Stub::recover(*qmp));
    FURNACE_TRY(const QemuHandles::Setup setup, ask_for_setup(*qmp));
    return QemuHandles{std::move(process), std::move(pidfd), std::move(guard),
                       *std::move(qmp),    std::move(ram),   setup};
  }
  return fail(*reason, fmt::format("QEMU '{}' (pid {})", name, process.pid));
}

QemuHandles::Lent QemuHandles::lend(QemuHandles handles) {
  Lent lent;
  const auto number = [&](Fd descriptor) {
    if (!descriptor.valid()) return -1;
    lent.descriptors.push_back(std::move(descriptor));
    return lent.descriptors.back().get();
  };
  GuestRam::Parts ram = std::move(handles.ram).take_apart();
  json pieces = json::array(), files = json::array();
  for (const auto& piece : ram.pieces)
    pieces.push_back({piece.range.start.value, piece.range.end.value, piece.host,
                      piece.file == GuestRam::Parts::kNoFile ? -1 : static_cast<int64_t>(piece.file),
                      piece.offset});
  for (Fd& file : ram.files) files.push_back(number(std::move(file)));
  const std::string path = handles.qmp.path();
  const json text = {{"name", handles.process.name},
                     {"pid", handles.process.pid},
                     {"pidfd", number(std::move(handles.pidfd))},
                     {"guard", number(std::move(handles.guard).take_apart())},
                     {"qmp", number(std::move(handles.qmp).take_apart())},
                     {"qmp_path", path},
                     {"pieces", pieces},
                     {"files", files},
                     {"memory", number(std::move(ram.process_memory))},
                     {"vcpus", handles.setup.vcpus},
                     {"running", handles.setup.running},
                     {"tcg", handles.setup.tcg},
                     {"loses_flags", handles.setup.loses_flags}};
  lent.text = text.dump();
  return lent;
}

Result<QemuHandles> QemuHandles::borrow(const std::string& text) try {
  const json all = json::parse(text);
  const auto descriptor = [&](const char* key) { return Fd(all.at(key).get<int>()); };
  QemuProcess process;
  process.pid = all.at("pid");
  process.name = all.at("name");
  GuestRam::Parts parts;
  for (const json& file : all.at("files")) parts.files.emplace_back(file.get<int>());
  for (const json& piece : all.at("pieces")) {
    const int64_t file = piece.at(3);
    parts.pieces.push_back({{guest::Gpa{piece.at(0)}, guest::Gpa{piece.at(1)}},
                            piece.at(2),
                            file < 0 ? GuestRam::Parts::kNoFile : static_cast<size_t>(file),
                            piece.at(4)});
  }
  parts.process_memory = descriptor("memory");
  FURNACE_TRY(GuestRam ram, GuestRam::from(std::move(parts)));
  return QemuHandles{std::move(process),
                     descriptor("pidfd"),
                     Guard::from(descriptor("guard")),
                     Qmp::from(descriptor("qmp"), all.at("qmp_path").get<std::string>()),
                     std::move(ram),
                     {all.at("vcpus"), all.at("running"), all.at("tcg"), all.at("loses_flags")}};
} catch (const json::exception& error) {
  return fail(Errc::Invalid, "handles: {}", error.what());
}

}  // namespace furnace::hypervisor
