#include "facilities/tap.h"

#include <chrono>

#include "base/bytes.h"
#include "base/json_text.h"

namespace furnace::facilities {

Result<Tap> Tap::bind(zmtp::Server& sockets, const std::string& directory) {
  constexpr zmtp::Server::Room room{16, 16};
  FURNACE_TRY(const size_t place, sockets.listen(directory + "/fac_tap", zmtp::Kind::Publisher, room));
  return Tap(sockets, place);
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
  constexpr size_t most_unread = 1 << 20;
  sockets_->publish(place_, json_text(line), most_unread);
}

void Tap::show(std::string_view way, std::string_view kind, const BeMsg& message) {
  if (is_watched()) publish(way, kind, message.value(), message.data(), message.traceparent(), 0);
}

void Tap::show(std::string_view way, std::string_view kind, const BeMsgRet& answer) {
  if (is_watched()) publish(way, kind, answer.value(), answer.data(), {}, answer.status());
}

}  // namespace furnace::facilities
