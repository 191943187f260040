// The FAC partition: serves one app's storage and carries its messages to and from the backend.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <zmq.hpp>

#include "base/fd.h"
#include "base/message_counter.h"
#include "facilities.pb.h"
#include "facilities/storage.h"
#include "protocol/certificate.h"
#include "protocol/framing.h"
#include "protocol/monitor.h"

namespace furnace::facilities {

struct Options {
  std::string app;        ///< the app's id
  std::string directory;  ///< for fac_rtr and fac_pub
  std::string proxy_ip;
  uint16_t proxy_port = 0;    ///< ROUTER there, PUB at the next
  protocol::Certificate own;  ///< the app's key pair
  std::string backend_key;    ///< the backend's public key
  std::chrono::milliseconds request_timeout{30'000};
  int counter = -1;  ///< descriptor of a MessageCounter
};

/// Answers the gets and sets of a message, in order.
[[nodiscard]] FacMessage execute(Storage& storage, const FacMessage& request);

class Server {
 public:
  [[nodiscard]] static Result<Server> bind(zmq::context_t& context, const Options& options, Storage storage);

  /// Serves until `stop` becomes readable.
  void run(int stop);

  [[nodiscard]] uint64_t dropped() const { return dropped_; }

 private:
  Server(zmq::context_t& context, Options options, Storage storage)
      : context_(&context), options_(std::move(options)), storage_(std::move(storage)) {}

  [[nodiscard]] Status open(Fd lock);
  [[nodiscard]] Result<zmq::socket_t> connect_out(zmq::socket_type type, const std::string& identity,
                                                  uint16_t port);

  [[nodiscard]] std::optional<protocol::Frames> take(zmq::socket_t& socket);
  void serve_app();
  void serve_request(protocol::Frames& frames, const zmq::message_t* body);
  void serve_one_way(const protocol::Frames& frames);
  void forward_request(const BeMsg& message);
  void answer_request(const FacMessage& answer);
  void take_backend_answer();
  void relay_notifications();
  void relay_broadcasts();
  void expire_request();

  /// The request that waits for the backend's answer. An app has one at most: its socket is a REQ.
  struct Pending {
    uint64_t id;
    std::string identity;
    std::chrono::steady_clock::time_point deadline;
  };

  zmq::context_t* context_;
  Options options_;
  Storage storage_;
  MessageCounter counter_;
  Fd lock_;
  zmq::socket_t router_;      // app: calls and one-way messages
  zmq::socket_t publisher_;   // app: broadcasts
  zmq::socket_t requests_;    // proxy: <app>-r
  zmq::socket_t messages_;    // proxy: <app>-d
  zmq::socket_t broadcasts_;  // proxy: subscription
  std::optional<protocol::ConnectionLog> connection_;
  std::optional<Pending> pending_;
  uint64_t last_request_ = 0;
  uint64_t dropped_ = 0;
};

}  // namespace furnace::facilities
