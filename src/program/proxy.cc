// furnace-proxy: passes messages or connections on between FAC partitions and backends.
#include "proxy/proxy.h"

#include <sys/resource.h>

#include "base/log.h"
#include "base/signals.h"
#include "command_line/bounded_option.h"
#include "command_line/program.h"

namespace {

using namespace furnace;

struct Options {
  proxy::Route route;
  std::string routes, metrics;
};

/// A route has up to six sockets and four descriptors for each connection.
void take_all_descriptors() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

Status check(const Options& options) {
  const proxy::Route& route = options.route;
  const bool has_keys = !route.app_key.empty() || !route.backend_key.empty();
  if (!options.routes.empty()) {
    if (route.blind || has_keys || !route.inside.host.empty() || !route.outside.host.empty())
      return fail(Errc::Invalid,
                  "--routes: the file says what is passed on; leave the options of a single route out");
    return {};
  }
  if (route.inside.host.empty() || route.outside.host.empty())
    return fail(Errc::Invalid,
                "needed: --ip and --ep (where to listen, and where the backend is), or --routes");
  if (route.blind && has_keys)
    return fail(Errc::Invalid, "--blind: a blind proxy holds no keys; leave --ak and --bk out");
  if (!route.blind && (route.app_key.empty() || route.backend_key.empty()))
    return fail(Errc::Invalid, "needed: --ak app.key and --bk be.key, or --blind");
  return {};
}

Status serve(Options& options) {
  FURNACE_TRY(const Fd stop, stop_signals());
  FURNACE_CHECK(check(options));
  take_all_descriptors();
  zmq::context_t context(1);
  constexpr int most_sockets = 65'535;
  context.set(zmq::ctxopt::max_sockets, most_sockets);
  FURNACE_TRY(const auto proxy, proxy::Proxy::make(context));
  if (options.routes.empty()) {
    FURNACE_CHECK(proxy->set_routes({options.route}));
    log::info("relaying {} between {} and the backend at {}",
              options.route.blind ? "connections" : "messages", to_text(options.route.inside),
              to_text(options.route.outside));
  } else {
    FURNACE_CHECK(proxy->follow(options.routes));
    log::info("relaying {} routes of {}", proxy->routes(), options.routes);
  }
  FURNACE_TRY(auto metrics, MetricsSocket::make(options.metrics, -1));
  if (metrics) FURNACE_CHECK(proxy->show_metrics(*std::move(metrics)));
  report_ready();
  proxy->run(stop.get());
  log::info("stopped");
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  proxy::Route& route = options.route;
  route.inside.port = 5561;
  route.outside.port = 5563;
  uint64_t idle = 0;
  auto handshake = static_cast<uint64_t>(route.limits.handshake.count());
  Program program("furnace-proxy", "Proxy between apps' FAC partitions and their backends");
  auto& flags = program.options();
  flags.add_option("--ak,--app-key", route.app_key, "The app's secret key, app.key");
  flags.add_option("--bk,--backend-key", route.backend_key, "The backend's secret key, be.key");
  flags.add_option("--ip", route.inside.host, "Address to listen on for FAC");
  flags.add_option("--it", route.inside.port, "Port to listen on; the next one is used too")
      ->check(within(bounds::kPairOfPorts))
      ->capture_default_str();
  flags.add_option("--ep", route.outside.host, "The backend's address");
  flags.add_option("--et", route.outside.port, "The backend's port; the next one is used too")
      ->check(within(bounds::kPairOfPorts))
      ->capture_default_str();
  flags.add_flag(
      "--blind", route.blind,
      "Pass on connections, not messages: the proxy holds no key and can read nothing; FAC and backend then "
      "encrypt to each other (furnace fac --blind, furnace backend --router)");
  flags.add_option("--routes", options.routes,
                   "File of many routes, instead of one on the command line; read again when it changes");
  flags.add_option("--connections", route.limits.connections, "Connections at once, at most; 0: no limit")
      ->check(within({0, 1'000'000}))
      ->capture_default_str();
  flags
      .add_option("--connections-per-address", route.limits.connections_per_address,
                  "Connections from one address, at most; blind routes only; 0: half of --connections, but "
                  "at least 4")
      ->check(within({0, 1'000'000}))
      ->capture_default_str();
  flags
      .add_option("--handshake", handshake,
                  "Seconds until a connection that the backend has not accepted is closed; blind routes "
                  "only; 0: never")
      ->check(within({0, UINT32_MAX, "s"}))
      ->capture_default_str();
  flags
      .add_option("--bytes-per-second", route.limits.bytes_per_second,
                  "Bytes per second, at most, in both directions together; 0: no limit")
      ->check(within({0, bounds::kBytes.most}))
      ->capture_default_str();
  flags.add_option("--idle", idle, "Seconds until an idle connection is closed; blind routes only; 0: never")
      ->check(within({0, UINT32_MAX, "s"}))
      ->capture_default_str();
  flags.add_option("--metrics", options.metrics,
                   "Show counters as Prometheus text at ADDRESS:PORT or at a socket's path");
  return program.run(argc, argv, [&] {
    route.limits.idle = std::chrono::seconds(idle);
    route.limits.handshake = std::chrono::seconds(handshake);
    return serve(options);
  });
}
