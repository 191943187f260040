#include "protocol/bounded_sender.h"

#include "protocol/framing.h"

namespace furnace::protocol {
namespace {

/// What a message takes beside its content.
constexpr size_t kOverhead = 128;

/// A body in a socket: says when ZeroMQ has passed it on.
struct Waiting {
  std::string body;
  std::shared_ptr<std::atomic<size_t>> total;

  [[nodiscard]] size_t size() const { return body.size() + kOverhead; }
  static void passed_on(void* /*data*/, void* hint) {
    const std::unique_ptr<Waiting> self(static_cast<Waiting*>(hint));
    self->total->fetch_sub(self->size(), std::memory_order_relaxed);
  }
};

}  // namespace

bool BoundedSender::send(zmq::socket_t& socket, std::span<const std::string> front, std::string body) {
  auto waiting = std::make_unique<Waiting>(Waiting{std::move(body), waiting_});
  const size_t size = waiting->size();
  if (waiting_->load(std::memory_order_relaxed) + size > limit_) return false;
  Frames frames;
  for (const std::string& frame : front) frames.emplace_back(frame.data(), frame.size());
  waiting_->fetch_add(size, std::memory_order_relaxed);
  char* data = waiting->body.data();
  const size_t length = waiting->body.size();
  frames.emplace_back(data, length, Waiting::passed_on, waiting.release());
  return protocol::send(socket, frames);  // a frame that is not taken is freed here, and counted off
}

}  // namespace furnace::protocol
