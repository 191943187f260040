#include "protocol/zap.h"

#include <zmq.h>

#include <array>

#include "base/log.h"
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
    const auto list = request->size() > 2 ? lists_.find(text((*request)[2])) : lists_.end();
    const bool allowed = curve && list != lists_.end() && list->second->find(key) != nullptr;
    if (!allowed) {
      ++refused_;
      log::warning("refused a peer at {}: its key {} is not on the allow-list",
                   request->size() > 3 ? text((*request)[3]) : "?", curve ? key : "(none)");
    }
    const std::string id = request->size() > 1 ? std::string(text((*request)[1])) : "";
    send(socket_,
         {"1.0", id, allowed ? "200" : "400", allowed ? "OK" : "key not allowed", allowed ? key : "", ""});
  }
}

std::string_view key_of(const zmq::message_t& frame) {
  const char* key = zmq_msg_gets(frame.handle(), "User-Id");
  return key != nullptr ? key : "";
}

}  // namespace furnace::protocol
