#include "facilities/tap.h"

#include <chrono>

#include "base/bytes.h"
#include "base/json_text.h"
#include "protocol/framing.h"

namespace furnace::facilities {

Result<Tap> Tap::bind(zmq::context_t& context, const std::string& directory) {
  zmq::socket_t socket(context, zmq::socket_type::xpub);
  protocol::set_common_options(socket);
  FURNACE_TRY(const std::string address, protocol::ipc_address(directory, "fac_tap"));
  FURNACE_CHECK(protocol::bind(socket, address));
  return Tap(std::move(socket));
}

void Tap::handle() {
  // One subscription more (1) or less (0): libzmq tells the first and the last of a topic alone.
  while (const auto frames = protocol::receive(socket_))
    if (!frames->front().empty()) watched_ = protocol::text(frames->front()).front() == 1;
}

void Tap::publish(std::string_view way, std::string_view kind, std::string_view text, std::string_view data,
                  std::string_view traceparent, uint32_t status) {
  constexpr size_t shown = 4096;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  nlohmann::json line{{"time", std::chrono::duration<double>(now).count()},
                      {"way", way},
                      {"kind", kind},
                      {"bytes", text.size() + data.size()}};
  if (data.empty()) {
    line["text"] = valid_utf8(text.substr(0, shown));
  } else {
    line["data"] = to_base64(as_bytes(data.substr(0, shown)));
  }
  if (!traceparent.empty()) line["traceparent"] = traceparent;
  if (status != 0) line["status"] = status;
  protocol::send(socket_, {json_text(line)});
}

void Tap::show(std::string_view way, std::string_view kind, const BeMsg& message) {
  if (watched_) publish(way, kind, message.value(), message.data(), message.traceparent(), 0);
}

void Tap::show(std::string_view way, std::string_view kind, const BeMsgRet& answer) {
  if (watched_) publish(way, kind, answer.value(), answer.data(), {}, answer.status());
}

}  // namespace furnace::facilities
