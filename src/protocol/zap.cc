#include "protocol/zap.h"

#include <zmq.h>

#include <array>

#include "protocol/framing.h"

namespace furnace::protocol {

Result<Authenticator> Authenticator::make(zmq::context_t& context) {
  zmq::socket_t socket(context, zmq::socket_type::rep);
  set_common_options(socket);
  FURNACE_CHECK(bind(socket, "inproc://zeromq.zap.01"));
  return Authenticator(std::move(socket));
}

void Authenticator::handle() {
  // RFC 27: version, request id, domain, address, identity, mechanism, credentials (the client's raw public
  // key).
  while (auto request = receive(socket_)) {
    const bool curve = request->size() == 7 && text((*request)[5]) == "CURVE" && (*request)[6].size() == 32;
    std::string key;
    if (curve) {
      std::array<char, 41> z85{};
      zmq_z85_encode(z85.data(), (*request)[6].data<uint8_t>(), 32);
      key = z85.data();
    }
    const auto guard = request->size() > 2 ? guards_.find(text((*request)[2])) : guards_.end();
    const bool allowed = curve && guard != guards_.end() && guard->second.list->find(key) != nullptr;
    const bool has_room = !allowed || !guard->second.has_room || guard->second.has_room();
    if (!allowed) {
      ++refused_;
      refusals_.warning("refused a peer at {}: its key {} is not on the allow-list",
                        request->size() > 3 ? text((*request)[3]) : "?", curve ? key : "(none)");
    }
    const std::string id = request->size() > 1 ? std::string(text((*request)[1])) : "";
    // 300: closed without a word, and tried again by the peer (RFC 27).
    const auto [status, why] = !allowed   ? std::pair("400", "key not allowed")
                               : has_room ? std::pair("200", "OK")
                                          : std::pair("300", "too many connections");
    send(socket_, {"1.0", id, status, why, allowed ? key : "", ""});
  }
}

std::string_view key_of(const zmq::message_t& frame) {
  const char* key = zmq_msg_gets(frame.handle(), "User-Id");
  return key != nullptr ? key : "";
}

}  // namespace furnace::protocol
