#include "hypervisor/broker/service.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace furnace::hypervisor::broker {
namespace {

class Serving {
 public:
  Serving(Service& service, const Fd& partition, const Fd& listener)
      : service_(service), partition_(partition), listener_(listener) {}

  void run() {
    for (;;) {
      std::vector<pollfd> waiting{{partition_.get(), POLLIN, 0},
                                  {visitors_.size() < kMostVisitors ? listener_.get() : -1, POLLIN, 0}};
      for (const Fd& each : visitors_) waiting.push_back({each.get(), POLLIN, 0});
      const auto own = waiting.size();
      for (const int each : service_.descriptors()) waiting.push_back({each, POLLIN, 0});
      const bool news = service_.has_news();
      if (::poll(waiting.data(), waiting.size(), news ? 0 : -1) < 0 && errno != EINTR) return;
      const auto ready = [](const pollfd& each) { return each.revents != 0; };
      if (news || std::any_of(waiting.begin() + static_cast<ptrdiff_t>(own), waiting.end(), ready))
        service_.tell();
      if (ready(waiting[0]) && !answer_partition()) return;
      for (size_t i = 2; i < own; ++i)
        if (ready(waiting[i])) answer_visitor(waiting[i].fd);
      if (ready(waiting[1])) accept_visitor();
    }
  }

 private:
  static constexpr size_t kMostVisitors = 32;

  bool answer_partition() {
    Request request;
    const auto asked = room_.receive(partition_, bytes_of(request));
    if (!asked) return false;
    std::vector<std::byte> items;
    Answer answer = service_.answer(request, *asked, items);
    return request.ask == Ask::Run || send_message(partition_, bytes_of(answer), items);
  }

  void accept_visitor() {
    Fd visitor(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (visitor.valid()) visitors_.push_back(std::move(visitor));
  }

  /// One that does not read its answers, or sends something else, is sent away.
  void answer_visitor(int number) {
    const auto visitor = std::find_if(visitors_.begin(), visitors_.end(),
                                      [&](const Fd& each) { return each.get() == number; });
    Request request;
    std::vector<std::byte> items;
    if (room_.receive(*visitor, bytes_of(request))) {
      Answer answer = service_.answer_visitor(number, request, items);
      if (send_message(*visitor, bytes_of(answer), items)) return;
    }
    service_.visitor_left(number);
    visitors_.erase(visitor);
  }

  Service& service_;
  const Fd& partition_;
  const Fd& listener_;
  std::vector<Fd> visitors_;
  Room room_;
};

}  // namespace

Answer Service::answer_visitor(int /*number*/, const Request& /*request*/,
                               std::vector<std::byte>& /*items*/) {
  return failed({Errc::Unavailable, "this broker has no visitors"});
}

void serve(Service& service, const Fd& socket, const Fd& listener) {
  Serving(service, socket, listener).run();
}

}  // namespace furnace::hypervisor::broker
