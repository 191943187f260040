// The tenant's end outside the cloud: gets an app's messages and requests, sends it notifications and
// broadcasts.
#pragma once

#include <functional>
#include <string>
#include <zmq.hpp>

#include "base/result.h"
#include "facilities.pb.h"
#include "protocol/certificate.h"
#include "protocol/event_loop.h"
#include "protocol/framing.h"
#include "protocol/zap.h"

namespace furnace::backend {

struct Options {
  std::string ip;
  uint16_t port = 5563;       ///< DEALER there, PUB at the next
  protocol::Certificate own;  ///< the backend's key pair
  std::string app_key;        ///< public key of who may connect
};

/// A message of an app. `wants_answer`: it waits for what the callback returns.
struct Message {
  std::string app;
  bool wants_answer = false;
  std::string text;
};

class Backend {
 public:
  /// Returns the answer; an error becomes a failed request at the app.
  using Callback = std::function<Result<std::string>(const Message&)>;

  [[nodiscard]] static Result<std::unique_ptr<Backend>> open(zmq::context_t& context, const Options& options);
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;

  void on_message(Callback callback) { callback_ = std::move(callback); }
  [[nodiscard]] bool has_callback() const { return callback_ != nullptr; }

  /// To one app; its id may carry the "-r" or "-d" of an identity. An error: no proxy is connected, or its
  /// queue is full.
  [[nodiscard]] Status notify(std::string_view app, std::string_view text);
  /// To all apps that listen.
  [[nodiscard]] Status broadcast(std::string_view text);

  [[nodiscard]] protocol::EventLoop& loop() { return loop_; }

 private:
  explicit Backend(protocol::Authenticator authenticator) : authenticator_(std::move(authenticator)) {}
  void serve();
  void answer(const protocol::Frames& frames);

  protocol::Authenticator authenticator_;
  zmq::socket_t dealer_;
  zmq::socket_t publisher_;
  protocol::EventLoop loop_;
  Callback callback_;
};

}  // namespace furnace::backend
