#include "hypervisor/broker/messages.h"

#include <sys/socket.h>

#include <cerrno>

namespace furnace::hypervisor::broker {
namespace {

constexpr size_t kMostBytes = sizeof(Answer) + kMostItems * sizeof(SentEvent);

}  // namespace

Answer failed(const Error& why) {
  Answer answer;
  answer.failed = 1;
  answer.code = why.code();
  why.message().copy(answer.why.data(), answer.why.size() - 1);
  return answer;
}

Answer said(const Status& status) {
  return status ? Answer{} : failed(status.error());
}

SentEvent pack(const GuestEvent& event) {
  SentEvent sent;
  sent.watch = event.watch;
  sent.address = event.address.value;
  sent.vcpu = event.vcpu;
  sent.access = event.access;
  sent.has_old = static_cast<uint8_t>(event.old_value.has_value());
  sent.has_new = static_cast<uint8_t>(event.new_value.has_value());
  sent.old_value = event.old_value.value_or(0);
  sent.new_value = event.new_value.value_or(0);
  sent.registers = event.registers;
  return sent;
}

GuestEvent unpack(const SentEvent& sent) {
  GuestEvent event;
  event.watch = sent.watch;
  event.vcpu = sent.vcpu;
  event.registers = sent.registers;
  event.address = guest::Gva{sent.address};
  event.access = sent.access;
  if (sent.has_old != 0) event.old_value = sent.old_value;
  if (sent.has_new != 0) event.new_value = sent.new_value;
  return event;
}

bool send_message(const Fd& socket, std::span<const std::byte> head, std::span<const std::byte> items) {
  std::vector<std::byte> bytes(head.begin(), head.end());
  bytes.insert(bytes.end(), items.begin(), items.end());
  return ::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
}

Room::Room() : bytes_(kMostBytes) {}

std::optional<std::span<const std::byte>> Room::receive(const Fd& socket, std::span<std::byte> head,
                                                        int flags) {
  ssize_t size = 0;
  do {
    size = ::recv(socket.get(), bytes_.data(), bytes_.size(), flags);
  } while (size < 0 && errno == EINTR);
  if (size < static_cast<ssize_t>(head.size())) return std::nullopt;
  std::memcpy(head.data(), bytes_.data(), head.size());
  return std::span(bytes_).first(static_cast<size_t>(size)).subspan(head.size());
}

Result<std::pair<Fd, Fd>> connection() {
  FURNACE_TRY(auto ends, message_socket_pair());
  constexpr int room = 2 * kMostBytes;
  for (const Fd* end : {&ends.first, &ends.second})
    if (::setsockopt(end->get(), SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room) != 0)
      ::setsockopt(end->get(), SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
  return ends;
}

}  // namespace furnace::hypervisor::broker
