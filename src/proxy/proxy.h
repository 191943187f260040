// The message proxy: between FAC partitions inside the cloud and the tenant's backend outside, message by
// message.
#pragma once

#include <optional>
#include <string>
#include <zmq.hpp>

#include "base/result.h"
#include "protocol/certificate.h"
#include "protocol/monitor.h"
#include "protocol/zap.h"

namespace furnace::proxy {

struct Options {
  protocol::Certificate app;      ///< with secret key: the proxy is the app towards the backend
  protocol::Certificate backend;  ///< with secret key: the proxy is the backend towards the app
  std::string inside_ip;
  uint16_t inside_port = 5561;
  std::string outside_ip;
  uint16_t outside_port = 5563;
};

class Proxy {
 public:
  [[nodiscard]] static Result<Proxy> open(zmq::context_t& context, const Options& options);

  /// Relays until `stop` becomes readable.
  void run(int stop);

 private:
  Proxy(protocol::Authenticator authenticator, protocol::ConnectionLog connection)
      : authenticator_(std::move(authenticator)), connection_(std::move(connection)) {}

  protocol::Authenticator authenticator_;
  protocol::ConnectionLog connection_;
  zmq::socket_t router_;      // inside: FAC's requests and messages
  zmq::socket_t publisher_;   // inside: broadcasts
  zmq::socket_t dealer_;      // outside
  zmq::socket_t subscriber_;  // outside
};

}  // namespace furnace::proxy
