#include "zmtp/outgoing.h"

#include <sys/socket.h>

#include <cerrno>

#include "base/bytes.h"
#include "zmtp/wire.h"

namespace furnace::zmtp {
namespace {

constexpr size_t kCopied = 32 << 10;  // up to this a copy costs less than another system call
constexpr size_t kOverhead = 128;     // of a chunk

/// How many bytes the socket has taken; nullopt: it is broken.
std::optional<size_t> push(int socket, std::span<const std::byte> bytes) {
  while (true) {
    const ssize_t sent = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) return static_cast<size_t>(sent);
    if (errno == EAGAIN) return 0;
    if (errno != EINTR) return std::nullopt;
  }
}

}  // namespace

void OutQueue::clear() {
  chunks_.clear();
  waiting_ = 0;
}

void OutQueue::keep(std::shared_ptr<const void> owner, std::span<const std::byte> bytes) {
  chunks_.push_back({std::move(owner), bytes});
  waiting_ += bytes.size() + kOverhead;
}

bool OutQueue::put(int socket, std::string bytes) {
  size_t sent = 0;
  if (chunks_.empty()) {
    const auto pushed = push(socket, as_bytes(bytes));
    if (!pushed) return false;
    sent = *pushed;
  }
  if (sent == bytes.size()) return true;
  const auto kept = std::make_shared<const std::string>(std::move(bytes));
  keep(kept, as_bytes(*kept).subspan(sent));
  return true;
}

bool OutQueue::send(int socket, std::string frames) {
  return put(socket, std::move(frames));
}

bool OutQueue::send(int socket, std::span<const Outgoing> parts) {
  std::string copied;
  for (size_t i = 0; i < parts.size(); ++i) {
    const Outgoing& part = parts[i];
    put_header(copied, part.bytes.size(), i + 1 < parts.size());
    if (!part.owner || part.bytes.size() <= kCopied) {
      copied += as_text(part.bytes);
      continue;
    }
    if (!put(socket, std::exchange(copied, {}))) return false;
    keep(part.owner, part.bytes);
    if (!flush(socket)) return false;
  }
  return copied.empty() || put(socket, std::move(copied));
}

bool OutQueue::flush(int socket) {
  while (!chunks_.empty()) {
    Chunk& first = chunks_.front();
    const auto pushed = push(socket, first.left);
    if (!pushed) return false;
    first.left = first.left.subspan(*pushed);
    waiting_ -= *pushed;
    if (!first.left.empty()) return true;
    chunks_.pop_front();
    waiting_ -= kOverhead;
  }
  return true;
}

}  // namespace furnace::zmtp
