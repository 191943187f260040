#include "launch/options/fac.h"

#include "base/text.h"
#include "command_line/bounded_option.h"

namespace furnace::launch {
namespace {

/// Other keys are other implementations'.
Status read_quota(std::string_view key, std::string_view number, Quotas& quotas) {
  for (const auto& [name, bytes] : {std::pair(std::string_view("_furnace_max_disk"), &quotas.disk),
                                    std::pair(std::string_view("_furnace_max_outbox"), &quotas.outbox)}) {
    if (key != name) continue;
    FURNACE_TRY(*bytes, parse_number(key, number, {0, bounds::kBytes.most, bounds::kBytes.unit}));
  }
  return {};
}

}  // namespace

Result<Quotas> parse_quotas(std::string_view text) {
  Quotas quotas;
  for (const std::string_view pair : items(text, ',')) {
    const Cut parts = cut(pair, ':');
    if (!parts.found) return fail(Errc::Invalid, "'{}': expected key:value", pair);
    FURNACE_CHECK(read_quota(parts.before, parts.after, quotas));
  }
  return quotas;
}

void add_options(CLI::App& flags, FacOptions& options) {
  flags.add_option("--u2,--app", options.app, "The app's id")->required();
  flags
      .add_option("--qt,--quota", options.quotas,
                  "Quotas, key:value[,key:value...]; _furnace_max_disk: bytes of storage (10000000); "
                  "_furnace_max_outbox: bytes of durable messages that wait (10000000)")
      ->check(checked_by(parse_quotas));
  flags.add_option("--kp,--keys", options.keys, "Directory with be.pub and app.key")->required();
  flags.add_option("--it,--port", options.proxy_port, "The proxy's port; the next one is used too")
      ->check(within(bounds::kPairOfPorts))
      ->capture_default_str();
  flags.add_option("--ip", options.proxy_ip, "The proxy's address")->required();
  flags.add_option("--fac", options.directory, "Directory for the sockets fac_rtr and fac_pub")->required();
  flags.add_option("--storage", options.storage,
                   "Directory for stored values; default: 'storage' next to the directory of sockets");
  flags.add_flag("--blind", options.blind,
                 "The proxy is blind: it passes on connections, and the backend answers the handshake");
  flags.add_option("--metrics", options.metrics,
                   "Show counters as Prometheus text at ADDRESS:PORT or at a socket's path");
  flags.add_option("--metrics-descriptor", options.metrics_descriptor)->group("");
  flags.add_flag("--in-partition", options.confined)->group("");
  flags.add_option("--counter", options.counter)->group("");
}

}  // namespace furnace::launch
