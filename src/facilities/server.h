// The FAC partition: serves one app's storage and carries its messages to and from the backend.
#pragma once

#include <chrono>
#include <deque>
#include <optional>
#include <string>
#include <zmq.hpp>

#include "base/fd.h"
#include "base/message_counter.h"
#include "base/metrics.h"
#include "facilities.pb.h"
#include "facilities/counters.h"
#include "facilities/courier.h"
#include "facilities/line.h"
#include "facilities/storage.h"
#include "facilities/tap.h"
#include "protocol/event_loop.h"
#include "zmtp/server.h"

namespace furnace::facilities {

struct Options {
  LineOptions line;                                   ///< with the app's id
  std::string directory;                              ///< for fac_rtr, fac_pub and fac_tap
  std::chrono::milliseconds request_timeout{30'000};  ///< of requests that name none
  int counter = -1;                                   ///< descriptor of a MessageCounter
  std::optional<MetricsSocket> metrics;
};

class Server {
 public:
  [[nodiscard]] static Result<std::unique_ptr<Server>> bind(zmq::context_t& context, Options options,
                                                            Storage storage, Outbox outbox);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// Serves until `stop` becomes readable.
  void run(int stop);

  [[nodiscard]] const Counters& counters() const { return counters_; }

 private:
  using Clock = std::chrono::steady_clock;

  Server(Options options, Storage storage, Outbox outbox, MessageCounter counter);

  [[nodiscard]] Status open(zmq::context_t& context, Fd lock);
  [[nodiscard]] const std::string& app() const { return options_.line.app; }

  void serve_sockets();
  void serve_app(const zmtp::Peer& peer, const zmtp::Message& message);
  void serve_request(const std::string& identity, std::string_view body);
  void serve_one_way(const std::string& identity, const zmtp::Message& received);
  void keep(const FacMessage& request, const std::string& identity);
  void forward_request(const BeMsg& message, const std::string& identity);
  void send_request();
  void answer(std::string_view identity, const FacMessage& answer);
  void answer_request(const FacMessage& answer);
  void take_backend_answer(const FacMessage& message);
  void relay_notification(std::string_view bytes);
  [[nodiscard]] bool send_to_app(std::string_view bytes);
  [[nodiscard]] bool send(std::string_view identity, bool is_answer, std::string body);
  void deliver_held(Clock::time_point now);
  void relay_broadcast(std::string_view bytes);
  void tell_flow(bool open);
  /// What depends on time or on what happened in this turn.
  void turn();
  void expire_request(Clock::time_point now);
  [[nodiscard]] std::string metrics_text() const;

  /// The request that waits for the backend's answer. An app has one at most: its socket is a REQ.
  struct Pending {
    std::string identity;
    BeMsg message;  // with its request_id
    Clock::time_point deadline;
    bool is_sent = false;
  };

  Options options_;
  Storage storage_;
  Counters counters_;
  MessageCounter counter_;
  Fd lock_;
  std::unique_ptr<zmtp::Server> sockets_;
  size_t router_ = 0;     // app: calls and one-way messages
  size_t publisher_ = 0;  // app: broadcasts
  std::optional<Tap> tap_;
  protocol::EventLoop loop_;
  std::unique_ptr<Line> line_;
  Courier courier_;
  /// A message of the backend that came while the app was not there, or read too little.
  struct Held {
    std::string bytes;
    Clock::time_point until;
  };
  std::deque<Held> held_;
  size_t held_bytes_ = 0;
  std::optional<Pending> pending_;
  uint64_t last_request_;
  std::optional<uint64_t> ticks_;  // the timer that runs while something waits
  bool peer_numbers_ = false;      // the backend says what its answers are to: it is none of 1.0
  bool app_numbers_ = false;       // the app numbers its messages: it understands FLOW
  bool is_open_ = true;            // for one-way messages of the app
};

}  // namespace furnace::facilities
