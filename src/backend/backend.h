// The tenant's end outside the cloud: gets apps' messages and requests, sends them notifications and
// broadcasts.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <zmq.hpp>

#include "backend/address.h"
#include "backend/counters.h"
#include "backend/message.h"
#include "backend/progress.h"
#include "backend/workers.h"
#include "base/limited_log.h"
#include "base/metrics.h"
#include "base/result.h"
#include "facilities.pb.h"
#include "protocol/bounded_sender.h"
#include "protocol/certificate.h"
#include "protocol/event_loop.h"
#include "protocol/monitor.h"
#include "protocol/sequence.h"
#include "protocol/zap.h"

namespace furnace::backend {

struct Options {
  std::string ip;
  uint16_t port = 5563;       ///< DEALER or ROUTER there, PUB at the next
  protocol::Certificate own;  ///< the backend's key pair
  /// Where it comes from: a new one there is taken. Empty: `own` for good.
  std::filesystem::path own_file;
  protocol::AllowList allowed;  ///< who may connect
  Mode mode = Mode::Dealer;
  Progress progress;
  unsigned workers = 0;  ///< threads for callbacks; 0: they run in the loop
  std::optional<MetricsSocket> metrics;
};

class Backend {
 public:
  /// Returns the answer; an error becomes a failed request at the app. Called in a worker's thread if there
  /// are workers: for one app one call at a time, in order.
  using Callback = std::function<Result<Content>(const Message&)>;

  [[nodiscard]] static Result<std::unique_ptr<Backend>> open(zmq::context_t& context, Options options);
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;

  void on_message(Callback callback) { callback_ = std::make_shared<const Callback>(std::move(callback)); }
  [[nodiscard]] bool has_callback() const { return callback_ != nullptr && *callback_ != nullptr; }
  /// Is shown every message before the callback gets it, in the loop's thread.
  void on_record(std::function<void(const Message&)> recorder) { recorder_ = std::move(recorder); }

  /// To one app; its id may carry the "-r" or "-d" of an identity. An error: no peer is connected that would
  /// take it there, or so much waits already that it was not taken. From a worker's thread the message is
  /// only queued.
  [[nodiscard]] Status notify(std::string_view app, Content content);
  /// To all apps that listen.
  [[nodiscard]] Status broadcast(Content content);

  /// Runs until `stop` is readable or the loop is stopped.
  void run(int stop);
  /// Waits for the callbacks that run; those that wait are not called any more.
  void join_workers() { workers_.reset(); }
  [[nodiscard]] protocol::EventLoop& loop() { return loop_; }
  [[nodiscard]] const Counters& counters() const { return counters_; }

 private:
  Backend(protocol::Authenticator authenticator, Options options)
      : authenticator_(std::move(authenticator)), options_(std::move(options)) {}
  [[nodiscard]] Status bind(zmq::context_t& context);

  void serve();
  void take(const protocol::Frames& frames);
  /// Why a message is not taken; empty: it is.
  [[nodiscard]] std::string refuses(const Incoming& incoming, std::string_view key) const;
  void take_message(const Incoming& incoming, const facilities::BeMsg& body);
  void take_durable(const Incoming& incoming, const facilities::BeMsg& body);
  void dispatch(Message message, std::function<void(Result<Content>)> done);
  void answer(const Incoming& incoming, const facilities::BeMsgRet& body);
  void acknowledge(const Incoming& incoming, const facilities::BeMsg& body, const AppProgress& progress,
                   bool is_gap);
  [[nodiscard]] Status send_to_app(const std::string& app, Content content);
  [[nodiscard]] Status send_to_all(Content content);
  /// `send` now in the loop's thread, later from another.
  [[nodiscard]] Status in_loop(std::function<Status()> send);
  void slow_down();
  void look_after();
  void refresh_keys();
  /// Binds with the new key of our own, if there is one: peers connect again.
  void renew_own_key();
  [[nodiscard]] std::string address(int offset) const {
    return protocol::tcp_address(options_.ip, options_.port + offset);
  }
  [[nodiscard]] std::string metrics_text() const;

  /// Where an app was heard last.
  struct Peer {
    Incoming heard;
    std::string key;
    protocol::Numbering numbering;
  };

  protocol::Authenticator authenticator_;
  Options options_;
  std::filesystem::file_time_type own_file_time_;
  std::optional<protocol::ServerConnections> connections_, listeners_;  // at socket_, and at publisher_
  zmq::socket_t socket_;
  zmq::socket_t publisher_;
  protocol::EventLoop loop_;
  size_t watched_socket_ = 0;
  std::thread::id loop_thread_ = std::this_thread::get_id();
  protocol::BoundedSender out_{256 << 20};
  std::shared_ptr<const Callback> callback_;
  std::function<void(const Message&)> recorder_;
  std::map<std::string, Peer, std::less<>> peers_;  // by app
  protocol::Numbering broadcasts_;
  Counters counters_;
  log::Limited bad_messages_{"messages refused or malformed"};
  std::atomic<size_t> posted_ = 0;
  std::unique_ptr<Workers> workers_;  // goes first: its jobs use all of the above
};

}  // namespace furnace::backend
