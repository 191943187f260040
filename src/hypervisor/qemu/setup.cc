#include "hypervisor/qemu/setup.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace furnace::hypervisor {
namespace {

using nlohmann::json;

Result<json> ask(Qmp& qmp, std::string_view command, std::string_view arguments = {}) {
  FURNACE_TRY(const std::string text, qmp.command(command, arguments));
  return json::parse(text, nullptr, false);
}

}  // namespace

Result<QemuSetup> ask_for_setup(Qmp& qmp) {
  QemuSetup setup;
  FURNACE_TRY(const auto status, ask(qmp, "query-status"));
  setup.running = !status.is_object() || status.value("running", true);
  FURNACE_TRY(setup.vcpus, count_vcpus(qmp));
  FURNACE_TRY(const auto kvm, ask(qmp, "query-kvm"));
  setup.tcg = !kvm.is_object() || !kvm.value("enabled", false);
  if (!setup.tcg) return setup;
  FURNACE_TRY(setup.loses_flags, loses_flags(qmp));
  return setup;
}

Result<uint32_t> count_vcpus(Qmp& qmp) {
  FURNACE_TRY(const auto cpus, ask(qmp, "query-cpus-fast"));
  if (!cpus.is_array() || cpus.empty()) return 1U;  // other machines are refused by their registers
  return static_cast<uint32_t>(std::min<size_t>(cpus.size(), kMostVcpus));
}

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

}  // namespace furnace::hypervisor
