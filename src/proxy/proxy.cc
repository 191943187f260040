#include "proxy/proxy.h"

#include <sys/resource.h>

#include <algorithm>

#include "base/log.h"
#include "proxy/message_path.h"

namespace furnace::proxy {
namespace {

using Clock = std::chrono::steady_clock;

struct Metric {
  const char* name;
  const char* help;
  uint64_t Counters::*counter;
};
constexpr std::array kMetrics = {
    Metric{"connections", "Connections", &Counters::connections},
    Metric{"refused_connections", "Connections over the route's limit", &Counters::refused},
    Metric{"failed_connections", "Connections for which the backend could not be reached", &Counters::failed},
    Metric{"failed_handshakes", "Connections closed because they were not let in, or did not speak ZeroMQ",
           &Counters::handshakes},
    Metric{"idle_connections", "Connections closed because nothing passed", &Counters::idle},
    Metric{"sent_bytes", "Bytes to the backend", &Counters::bytes_out},
    Metric{"received_bytes", "Bytes from the backend", &Counters::bytes_in},
    Metric{"messages", "Messages passed on (not by blind routes)", &Counters::messages},
    Metric{"dropped_messages", "Messages without a peer, or that found its queue full", &Counters::dropped},
};

}  // namespace

Result<std::unique_ptr<Proxy>> Proxy::make(zmq::context_t& context) {
  FURNACE_TRY(Poller poller, Poller::make());
  FURNACE_TRY(protocol::Authenticator authenticator, protocol::Authenticator::make(context));
  std::unique_ptr<Proxy> proxy(new Proxy(context, std::move(poller), std::move(authenticator)));
  Proxy* self = proxy.get();
  FURNACE_CHECK(self->poller_.add(self->authenticator_.socket().get(zmq::sockopt::fd), [self](Poller::Ready) {
    // Answering may swallow the next change.
    do {
      self->authenticator_.handle();
    } while ((self->authenticator_.socket().get(zmq::sockopt::events) & ZMQ_POLLIN) != 0);
  }));
  return proxy;
}

Result<std::unique_ptr<Path>> Proxy::open(const Route& route) {
  if (route.blind) return Relay::open(poller_, pipes_, route);
  return MessagePath::open(poller_, context_, authenticator_, route);
}

namespace {

/// What the route may have of the descriptors that all routes share.
Limits within_share(Limits limits, uint32_t share) {
  limits.connections = limits.connections == 0 ? share : std::min(limits.connections, share);
  return limits;
}

}  // namespace

Status Proxy::set_routes(const std::vector<Route>& routes) {
  // Those that go first: another one may use their ports.
  const auto wanted = [&](const Path& path) {
    return std::find_if(routes.begin(), routes.end(),
                        [&](const Route& route) { return route.leads_as(path.route()); });
  };
  std::erase_if(paths_, [&](const auto& path) { return wanted(*path) == routes.end(); });
  rlimit descriptors{};
  ::getrlimit(RLIMIT_NOFILE, &descriptors);
  const uint32_t share = share_of_descriptors(routes.size(), descriptors.rlim_cur);
  Status first;
  for (const Route& wished : routes) {
    Route route = wished;
    route.limits = within_share(wished.limits, share);
    if (route.limits.connections < wished.limits.connections)
      log::warning(
          "route {}: {} connections at most instead of {}: {} descriptors (ulimit -n) are shared by {} "
          "routes",
          route.app, route.limits.connections, wished.limits.connections, descriptors.rlim_cur,
          routes.size());
    const auto known = std::find_if(paths_.begin(), paths_.end(),
                                    [&](const auto& path) { return route.leads_as(path->route()); });
    if (known != paths_.end()) {
      (*known)->set_limits(route.limits);
    } else if (auto path = open(route)) {
      paths_.push_back(*std::move(path));
    } else {
      log::error("route {}: {}", route.app, path.error().message());
      if (first) first = tl::unexpected<Error>(path.error());
    }
  }
  return first;
}

Status Proxy::follow(const std::filesystem::path& file) {
  file_ = file;
  std::error_code error;
  file_time_ = std::filesystem::last_write_time(file_, error);
  FURNACE_TRY(const std::vector<Route> routes, load_routes(file));
  return set_routes(routes);
}

void Proxy::follow_file() {
  std::error_code error;
  const auto time = std::filesystem::last_write_time(file_, error);
  if (error || time == file_time_) return;
  file_time_ = time;
  const auto routes = load_routes(file_);
  if (!routes) return log::error("{}; the routes stay as they were", routes.error().message());
  const auto done = set_routes(*routes);
  log::info("{} routes, read again from {}{}", paths_.size(), file_.string(),
            done ? "" : "; not all could be opened");
}

void Proxy::look_after() {
  if (!file_.empty()) follow_file();
  for (const auto& path : paths_) path->look_after();
  authenticator_.tell_left_out();
  poller_.at(Clock::now() + std::chrono::seconds(1), this, [this] { look_after(); });
}

Status Proxy::show_metrics(MetricsSocket socket) {
  metrics_.emplace(std::move(socket));
  return poller_.add(metrics_->descriptor(), [this](Poller::Ready) { metrics_->answer(metrics_text()); });
}

void Proxy::run(int stop) {
  if (auto added = poller_.add(stop, [this](Poller::Ready ready) { stopped_ |= ready.readable; }); !added)
    return log::error("{}", added.error().message());
  look_after();
  while (!stopped_) poller_.turn();
  poller_.remove(stop);
  paths_.clear();
}

std::string Proxy::metrics_text() const {
  MetricsText metrics;
  for (const Metric& metric : kMetrics) {
    metrics.metric(fmt::format("furnace_proxy_{}_total", metric.name), metric.help);
    for (const auto& path : paths_)
      metrics.sample({{"app", path->route().app}}, path->counters().*metric.counter);
  }
  metrics.metric("furnace_proxy_open_connections", "Open connections", "gauge");
  for (const auto& path : paths_) metrics.sample({{"app", path->route().app}}, path->connections());
  metrics.single("furnace_proxy_refused_keys_total", "Connections with a key that is not allowed", {},
                 authenticator_.refused());
  metrics.single("furnace_proxy_routes", "Routes", {}, paths_.size(), "gauge");
  return metrics.text();
}

}  // namespace furnace::proxy
