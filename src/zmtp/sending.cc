// What a zmtp::Server sends.
#include <algorithm>

#include "base/bytes.h"
#include "zmtp/connection.h"

namespace furnace::zmtp {

Server::Connection* Server::find(size_t place, std::string_view identity) const {
  const auto& peers = places_[place]->peers;
  const auto found = peers.find(identity);
  return found == peers.end() || broken_.contains(found->second->peer.number) ? nullptr : found->second;
}

bool Server::send(size_t place, std::string_view identity, std::span<const Outgoing> parts, size_t most) {
  Connection* to = find(place, identity);
  if (to == nullptr) return false;
  size_t size = 0;
  for (const Outgoing& part : parts) size += part.bytes.size();
  // What is empty takes one, however large.
  if (to->out.waiting() != 0 && (size > most || to->out.waiting() > most - size)) return false;
  const bool sent = to->out.send(to->socket.get(), parts);
  if (sent) {
    watch(*to);
  } else {
    drop(*to);
  }
  return sent;
}

bool Server::send(size_t place, std::string_view identity, std::initializer_list<std::string_view> parts,
                  size_t most) {
  std::vector<Outgoing> all;
  for (const std::string_view part : parts) all.push_back({as_bytes(part)});
  return send(place, identity, all, most);
}

void Server::send_frames(Connection& to, std::string frames) {
  if (!to.out.send(to.socket.get(), std::move(frames))) drop(to);
}

void Server::publish(size_t place, std::string_view content, size_t most) {
  const auto wants = [&](const std::string& topic) { return content.starts_with(topic); };
  for (const auto& [identity, to] : places_[place]->peers)
    if (std::any_of(to->topics.begin(), to->topics.end(), wants)) send(place, identity, {content}, most);
}

bool Server::has_subscribers(size_t place) const {
  const auto& peers = places_[place]->peers;
  return std::any_of(peers.begin(), peers.end(),
                     [](const auto& peer) { return !peer.second->topics.empty(); });
}

}  // namespace furnace::zmtp
