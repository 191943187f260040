// The FAC partition's sockets towards the proxy, or through a blind one towards the backend (wire.md section
// 3).
#pragma once

#include <functional>
#include <string>
#include <zmq.hpp>

#include "facilities.pb.h"
#include "protocol/bounded_sender.h"
#include "protocol/certificate.h"
#include "protocol/event_loop.h"
#include "protocol/framing.h"
#include "protocol/monitor.h"
#include "protocol/server_keys.h"

namespace furnace::facilities {

struct LineOptions {
  std::string app;                    ///< the app's id
  std::string proxy_ip;               ///< a host's name or address
  uint16_t proxy_port = 0;            ///< ROUTER there, PUB at the next
  protocol::Certificate own;          ///< the app's key pair
  protocol::ServerKeys backend_keys;  ///< the backend's
  /// The proxy passes connections on, not messages: what answers there is the backend. Messages then carry
  /// the app's identity in front as a message proxy would put it there, and the connections have secret names
  /// of their own, so that no other app of that backend can take them over.
  bool blind = false;
};

/// What comes from the backend.
struct LineEvents {
  std::function<void(const FacMessage&)> answer;    ///< one BE_MSG_RET
  std::function<void(std::string_view)> message;    ///< a FacMessage with a BE_MSG for this app
  std::function<void(std::string_view)> broadcast;  ///< the same for all apps
  std::function<void()> answers_taken;              ///< after all that came at once
  std::function<void()> connected;                  ///< what was under way before may be lost
  std::function<void()> malformed;
};

class Line {
 public:
  [[nodiscard]] static Result<std::unique_ptr<Line>> connect(zmq::context_t& context, LineOptions options,
                                                             protocol::EventLoop& loop, LineEvents events);
  Line(const Line&) = delete;
  Line& operator=(const Line&) = delete;

  /// As the app's REQ would. False: the proxy takes nothing, or too much waits for it already.
  bool ask(const FacMessage& message);
  /// As the app's DEALER would.
  bool tell(std::string_view message);

  [[nodiscard]] bool connected() const { return connection_->connected(); }
  /// So much waits for the proxy that the app should send no more.
  [[nodiscard]] bool is_filling() const { return out_.is_filling(); }
  [[nodiscard]] size_t waiting() const { return out_.waiting(); }
  /// Connects the request socket again: another one of the same name may have taken its place at the proxy.
  void renew_requests();

 private:
  Line(zmq::context_t& context, LineOptions options, LineEvents events)
      : context_(&context), options_(std::move(options)), events_(std::move(events)) {}
  [[nodiscard]] Result<zmq::socket_t> open(zmq::socket_type type, const std::string& identity, uint16_t port);
  [[nodiscard]] std::string address(int port) const;
  void become_connected();
  /// The other key of the backend's, or what is left when one has expired: all sockets connect again with it.
  void change_key();
  void take_answer(const zmq::message_t& body);
  void take_answers();
  void take_messages();
  void take_broadcasts();

  zmq::context_t* context_;
  LineOptions options_;
  LineEvents events_;
  bool told_of_key_ = false;                           // since the last connection
  std::optional<protocol::ConnectionLog> connection_;  // of requests_
  zmq::socket_t requests_;                             // of a blind line: everything but broadcasts
  zmq::socket_t messages_, broadcasts_;
  // Of what the partition may take of memory (300 MB): what waits for the proxy.
  protocol::BoundedSender out_{32 << 20};
};

/// Whether `bytes` is a FacMessage that holds a BE_MSG.
[[nodiscard]] bool parse_be_message(std::string_view bytes, FacMessage& message);

}  // namespace furnace::facilities
