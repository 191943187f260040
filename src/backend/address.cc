#include "backend/address.h"

namespace furnace::backend {

using protocol::text;

std::string_view app_of(std::string_view identity) {
  return identity.ends_with("-r") || identity.ends_with("-d") ? identity.substr(0, identity.size() - 2)
                                                              : identity;
}

std::optional<Incoming> understand(const protocol::Frames& frames, Mode mode) {
  Incoming incoming;
  const size_t count = frames.size();
  size_t identity = 0;  // which frame
  if (mode == Mode::Router) {
    incoming.connection = text(frames[0]);
    // After the connection's name: [body], [empty][body], [identity][body] or [identity][empty][body].
    incoming.is_direct = count == 2 || (count == 3 && frames[1].empty());
    identity = incoming.is_direct ? 0 : 1;
  }
  if (count < identity + 2 || count > identity + 3) return std::nullopt;
  incoming.wants_answer = count == identity + 3;
  if (incoming.wants_answer && !frames[identity + 1].empty()) return std::nullopt;
  incoming.app = app_of(text(frames[identity]));
  if (!protocol::check_app_id(incoming.app) || incoming.app.starts_with('.')) return std::nullopt;
  return incoming;
}

std::vector<std::string> way_back(const Incoming& incoming, Mode mode) {
  std::vector<std::string> frames;
  if (mode == Mode::Router) frames.push_back(incoming.connection);
  if (!incoming.is_direct) frames.push_back(protocol::call_identity(incoming.app));
  frames.emplace_back();
  return frames;
}

std::vector<std::string> way_to(const Incoming& last_heard, Mode mode) {
  const std::string identity = protocol::message_identity(last_heard.app);
  if (mode == Mode::Dealer || last_heard.is_direct) return {identity};
  return {last_heard.connection, identity};
}

}  // namespace furnace::backend
