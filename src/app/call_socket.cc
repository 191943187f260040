#include "app/call_socket.h"

#include <array>

#include "base/log.h"
#include "protocol/framing.h"
#include "protocol/monitor.h"

namespace furnace::app {

Result<CallSocket> CallSocket::connect(zmq::context_t& context, std::string address, std::string identity,
                                       WhenLost when_lost) {
  CallSocket made(context, std::move(address), std::move(identity), when_lost);
  FURNACE_CHECK(made.open());
  return made;
}

Status CallSocket::open() {
  close();
  socket_ = zmq::socket_t(*context_, zmq::socket_type::req);
  protocol::set_common_options(socket_, protocol::kMaxAnswerSize);
  socket_.set(zmq::sockopt::routing_id, identity_);
  const int lost = when_lost_ == WhenLost::GiveUp ? ZMQ_EVENT_DISCONNECTED : 0;
  FURNACE_TRY(monitor_, protocol::monitor_of(*context_, socket_, lost | ZMQ_EVENT_MONITOR_STOPPED));
  return protocol::connect(socket_, address_);
}

void CallSocket::close() {
  if (!socket_) return;
  socket_.close();
  // ZeroMQ ends the connection later, on its own thread. The next one has the same name: were both under way
  // at once, the server might meet the old one last, take it for the newer, and answer neither.
  constexpr std::chrono::milliseconds longest(1000);
  monitor_.set(zmq::sockopt::rcvtimeo, static_cast<int>(longest.count()));
  const auto end = std::chrono::steady_clock::now() + longest;
  zmq::message_t event;
  while (std::chrono::steady_clock::now() < end) {
    // Not by C++: a signal is no exception here.
    const bool received = zmq_msg_recv(event.handle(), monitor_.handle(), 0) >= 0;
    if (!received && zmq_errno() != EINTR) return;
    if (received && event.more() && protocol::monitored_event(event).number == ZMQ_EVENT_MONITOR_STOPPED)
      return;
  }
}

Result<bool> CallSocket::wait(std::chrono::milliseconds time) {
  if (when_lost_ == WhenLost::Wait) {
    socket_.set(zmq::sockopt::rcvtimeo, static_cast<int>(time.count()));
    return true;
  }
  std::array<zmq::pollitem_t, 2> items{
      {{socket_.handle(), 0, ZMQ_POLLIN, 0}, {monitor_.handle(), 0, ZMQ_POLLIN, 0}}};
  zmq::poll(items.data(), items.size(), time);
  if (items[0].revents != 0) return true;
  if (items[1].revents == 0) return false;
  return fail(Errc::Unavailable, "{}: the connection was lost", address_);
}

Status CallSocket::give_up(Error error) {
  FURNACE_CHECK(open());
  return tl::unexpected<Error>(std::move(error));
}

Status CallSocket::check_presence() const {
  const auto gone = presence_ != nullptr ? presence_->gone() : std::nullopt;
  return gone ? Status(tl::unexpected<Error>(*gone)) : Status();
}

Status CallSocket::receive(zmq::message_t& reply, std::string_view call) {
  using Clock = std::chrono::steady_clock;
  using std::chrono::milliseconds;
  constexpr milliseconds between_looks(500);  // at what else may end the wait
  const auto start = Clock::now();
  const auto give_up_after = std::chrono::duration<double>(timeout_).count();
  WaitReports reports(start);
  while (true) {
    const auto now = Clock::now();
    if (auto there = check_presence(); !there) return give_up(there.error());
    const auto left = std::chrono::ceil<milliseconds>(start + timeout_ - now);
    if (left.count() <= 0)
      return give_up(
          {Errc::Unavailable,
           fmt::format("{}: no answer within {} s: the partition that serves there has ended, hangs, or "
                       "is busy (see its log)",
                       address_, give_up_after)});
    if (const auto lasted = reports.take(now))
      log::warning("{}: {} has waited for an answer for {} s, and gives up after {} s", address_, call,
                   lasted->count(), give_up_after);
    try {
      const auto ready = wait(std::min(left, between_looks));
      if (!ready) return give_up(ready.error());
      if (!*ready || !socket_.recv(reply)) continue;
      while (reply.more()) (void)socket_.recv(reply);
      return {};
    } catch (const zmq::error_t& error) {
      if (error.num() != EINTR) return give_up({Errc::Failed, fmt::format("{}: {}", address_, error.what())});
      if (interrupt_)
        if (auto go_on = interrupt_(); !go_on) return give_up(go_on.error());
    }
  }
}

void CallSocket::forget_lost_connections() {
  zmq::message_t event;
  while (zmq_msg_recv(event.handle(), monitor_.handle(), ZMQ_DONTWAIT) >= 0 || zmq_errno() == EINTR) continue;
}

Status CallSocket::send(zmq::message_t& request) {
  if (request.size() > size_t{protocol::kMaxMessageSize})  // who serves there would end the connection
    return fail(Errc::Invalid, "a message of {} bytes: at most {}; send it in parts", request.size(),
                protocol::kMaxMessageSize);
  if (presence_ != nullptr) presence_->need();
  FURNACE_CHECK(check_presence());
  if (counter_ != nullptr) counter_->add();
  if (when_lost_ == WhenLost::GiveUp) forget_lost_connections();
  while (zmq_msg_send(request.handle(), socket_.handle(), ZMQ_DONTWAIT) < 0) {
    if (zmq_errno() == EINTR) continue;
    return give_up({Errc::Unavailable, fmt::format("{}: {}", address_,
                                                   zmq_errno() == EAGAIN ? "no VMI partition serves there"
                                                                         : zmq_strerror(zmq_errno()))});
  }
  return {};
}

Status CallSocket::ask(std::span<const std::byte> request, zmq::message_t& reply, std::string_view call) {
  zmq::message_t message(request.data(), request.size());
  FURNACE_CHECK(send(message));
  return receive(reply, call);
}

Result<zmq::message_t> CallSocket::ask(zmq::message_t request, std::string_view call) {
  zmq::message_t reply;
  FURNACE_CHECK(send(request));
  FURNACE_CHECK(receive(reply, call));
  return reply;
}

}  // namespace furnace::app
