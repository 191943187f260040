#include "hypervisor/broker/service.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>

namespace furnace::hypervisor::broker {
namespace {

bool answer_one(Service& service, const Fd& socket, Room& room) {
  Request request;
  const auto asked = room.receive(socket, bytes_of(request));
  if (!asked) return false;
  std::vector<std::byte> items;
  Answer answer = service.answer(request, *asked, items);
  return request.ask == Ask::Run || send_message(socket, bytes_of(answer), items);
}

}  // namespace

void serve(Service& service, const Fd& socket) {
  Room room;
  for (;;) {
    std::vector<pollfd> waiting{{socket.get(), POLLIN, 0}};
    for (const int each : service.descriptors()) waiting.push_back({each, POLLIN, 0});
    if (::poll(waiting.data(), waiting.size(), -1) < 0 && errno != EINTR) return;
    if (std::any_of(waiting.begin() + 1, waiting.end(), [](const pollfd& each) { return each.revents != 0; }))
      service.tell();
    if (waiting[0].revents != 0 && !answer_one(service, socket, room)) return;
  }
}

}  // namespace furnace::hypervisor::broker
