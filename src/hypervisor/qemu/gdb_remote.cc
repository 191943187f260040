#include "hypervisor/qemu/gdb_remote.h"

#include <poll.h>
#include <sys/socket.h>

#include <numeric>

#include "base/text.h"

namespace furnace::hypervisor {
namespace {

constexpr size_t kMaxBuffered = 256 << 10;  // QEMU's packets have at most 4 KB

uint8_t checksum(std::string_view payload) {
  return static_cast<uint8_t>(std::accumulate(payload.begin(), payload.end(), 0U, [](unsigned sum, char c) {
    return sum + static_cast<uint8_t>(c);
  }));
}

}  // namespace

std::string gdb_packet(std::string_view payload) {
  return fmt::format("${}#{:02x}", payload, checksum(payload));
}

Status GdbPacketReader::append(std::string_view bytes) {
  if (buffer_.size() + bytes.size() > kMaxBuffered)
    return fail(Errc::Invalid, "gdb stub: more than {} bytes without the end of a packet", kMaxBuffered);
  buffer_ += bytes;
  return {};
}

std::optional<std::string> GdbPacketReader::next() {
  constexpr size_t check_digits = 2;
  while (true) {
    const size_t start = buffer_.find('$');
    if (start == std::string::npos) {
      buffer_.clear();
      return std::nullopt;
    }
    const size_t end = buffer_.find('#', start);
    if (end == std::string::npos || buffer_.size() < end + 1 + check_digits) {
      buffer_.erase(0, start);
      return std::nullopt;
    }
    std::string payload = buffer_.substr(start + 1, end - start - 1);
    const auto sum = parse_number<unsigned>(std::string_view(buffer_).substr(end + 1, check_digits), 16);
    buffer_.erase(0, end + 1 + check_digits);
    if (sum == checksum(payload)) return payload;
  }
}

Status GdbRemote::send_raw(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) {
      connected_ = false;
      return fail_errno("gdb stub: send");
    }
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return {};
}

Result<std::optional<std::string>> GdbRemote::try_receive() {
  while (true) {
    if (auto packet = reader_.next()) return packet;
    char piece[8192];
    const ssize_t got = ::recv(socket_.get(), piece, sizeof piece, MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return std::nullopt;
    if (got <= 0) {
      connected_ = false;
      return fail(Errc::Unavailable, "gdb stub: the connection was cut");
    }
    FURNACE_CHECK(reader_.append({piece, static_cast<size_t>(got)}));
  }
}

Result<std::string> GdbRemote::receive(std::chrono::milliseconds time) {
  using Clock = std::chrono::steady_clock;
  const auto deadline = Clock::now() + time;
  while (true) {
    FURNACE_TRY(auto packet, try_receive());
    if (packet) return *std::move(packet);
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    pollfd waiting{socket_.get(), POLLIN, 0};
    if (left.count() <= 0 || (::poll(&waiting, 1, static_cast<int>(left.count())) < 0 && errno != EINTR))
      return fail(Errc::Unavailable, "gdb stub: no answer within {} ms", time.count());
  }
}

Result<std::string> GdbRemote::exchange(std::string_view payload) {
  FURNACE_CHECK(send(payload));
  return receive();
}

}  // namespace furnace::hypervisor
