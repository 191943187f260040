// The proxy: between FAC partitions inside the cloud and their backends outside. One process, many routes.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <zmq.hpp>

#include "base/metrics.h"
#include "protocol/zap.h"
#include "proxy/path.h"
#include "proxy/poller.h"
#include "proxy/relay.h"

namespace furnace::proxy {

class Proxy {
 public:
  /// The context must take four sockets for each route that passes messages.
  [[nodiscard]] static Result<std::unique_ptr<Proxy>> make(zmq::context_t& context);
  Proxy(const Proxy&) = delete;
  Proxy& operator=(const Proxy&) = delete;

  /// Makes these the routes: one that is there already stays, with its connections. The error is about the
  /// first that can't be opened; the others are.
  [[nodiscard]] Status set_routes(const std::vector<Route>& routes);
  /// Reads the routes from a file, and again whenever it changes.
  [[nodiscard]] Status follow(const std::filesystem::path& file);
  [[nodiscard]] Status show_metrics(MetricsSocket socket);

  /// Until `stop` becomes readable.
  void run(int stop);

  [[nodiscard]] size_t routes() const { return paths_.size(); }

 private:
  Proxy(zmq::context_t& context, Poller poller, protocol::Authenticator authenticator)
      : context_(context), poller_(std::move(poller)), authenticator_(std::move(authenticator)) {}
  [[nodiscard]] Result<std::unique_ptr<Path>> open(const Route& route);
  void look_after();
  void follow_file();
  [[nodiscard]] std::string metrics_text() const;

  zmq::context_t& context_;
  Poller poller_;
  PipePool pipes_;
  protocol::Authenticator authenticator_;
  std::optional<MetricsSocket> metrics_;
  std::vector<std::unique_ptr<Path>> paths_;
  std::filesystem::path file_;
  std::filesystem::file_time_type file_time_{};
  bool stopped_ = false;
};

}  // namespace furnace::proxy
