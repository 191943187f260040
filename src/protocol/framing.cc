#include "protocol/framing.h"

#include <sys/un.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <thread>

namespace furnace::protocol {

std::optional<Frames> receive(zmq::socket_t& socket) {
  constexpr size_t max_frames = 8;
  Frames frames;
  while (true) {
    zmq::message_t frame;
    int size = -1;
    do size = ::zmq_msg_recv(frame.handle(), socket.handle(), ZMQ_DONTWAIT);
    while (size < 0 && ::zmq_errno() == EINTR);
    if (size < 0 && ::zmq_errno() == EAGAIN) return std::nullopt;
    if (size < 0) throw zmq::error_t();
    const bool more = frame.more();
    if (frames.size() < max_frames) frames.push_back(std::move(frame));
    if (!more) return frames;
  }
}

bool send(zmq::socket_t& socket, const std::vector<std::string_view>& parts) {
  Frames frames;
  frames.reserve(parts.size());
  for (const std::string_view part : parts) frames.emplace_back(part.data(), part.size());
  return send(socket, frames);
}

bool send(zmq::socket_t& socket, Frames& frames) {
  try {
    for (size_t i = 0; i < frames.size(); ++i) {
      const bool last = i + 1 == frames.size();
      // Only the first part can be refused: ZeroMQ takes a message whole or not at all.
      const auto flags =
          last ? zmq::send_flags::dontwait : zmq::send_flags::dontwait | zmq::send_flags::sndmore;
      if (!socket.send(frames[i], flags)) return false;
    }
    return true;
  } catch (const zmq::error_t&) {
    return false;  // a ROUTER set to name unreachable peers, or a REQ out of turn
  }
}

std::optional<Request> as_request(Frames& frames) {
  if (frames.size() < 3 || !frames[1].empty()) return std::nullopt;
  return Request{text(frames[0]), frames.size() == 3 ? &frames[2] : nullptr};
}

void set_common_options(zmq::socket_t& socket, int64_t largest) {
  socket.set(zmq::sockopt::linger, 0);
  socket.set(zmq::sockopt::maxmsgsize, largest);
}

Status check_content(size_t bytes) {
  if (bytes > kMaxFieldSize)
    return fail(Errc::Invalid, "{} bytes in one message: at most {}; send them in parts", bytes,
                kMaxFieldSize);
  return {};
}

namespace {

bool is_ipv6(std::string_view host) {
  return host.find(':') != std::string_view::npos;
}

}  // namespace

std::string tcp_address(std::string_view host, int port) {
  return is_ipv6(host) && !host.starts_with('[') ? fmt::format("tcp://[{}]:{}", host, port)
                                                 : fmt::format("tcp://{}:{}", host, port);
}

void keep_connected(zmq::socket_t& socket, std::string_view host) {
  socket.set(zmq::sockopt::ipv6, is_ipv6(host));
  // Milliseconds. Heartbeats are part of ZMTP 3.1: every libzmq since 4.2 answers them.
  socket.set(zmq::sockopt::heartbeat_ivl, 2000);
  socket.set(zmq::sockopt::heartbeat_timeout, 6000);
  socket.set(zmq::sockopt::handshake_ivl, 6000);
  socket.set(zmq::sockopt::connect_timeout, 3000);
  socket.set(zmq::sockopt::reconnect_ivl, 100);
  socket.set(zmq::sockopt::reconnect_ivl_max, 1000);
}

Status bind(zmq::socket_t& socket, const std::string& address) {
  try {
    socket.bind(address);
    return {};
  } catch (const zmq::error_t& error) {
    return fail(errno_code(error.num()), "{}: cannot listen: {}", address, error.what());
  }
}

Status bind_again(zmq::socket_t& socket, const std::string& address) {
  Status bound = bind(socket, address);
  constexpr int tries = 100;
  for (int i = 0; i < tries && !bound && bound.error().code() == errno_code(EADDRINUSE); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    bound = bind(socket, address);
  }
  return bound;
}

Status connect(zmq::socket_t& socket, const std::string& address) {
  try {
    socket.connect(address);
    return {};
  } catch (const zmq::error_t& error) {
    return fail(errno_code(error.num()), "{}: cannot connect: {}", address, error.what());
  }
}

Result<std::string> ipc_address(const std::string& directory, std::string_view name) {
  const std::string path = fmt::format("{}/{}", directory, name);
  constexpr size_t limit = sizeof(sockaddr_un::sun_path) - 1;
  if (path.size() > limit)
    return fail(Errc::Invalid, "{}: {} bytes long, a socket path may have {}; choose a shorter directory",
                path, path.size(), limit);
  return "ipc://" + path;
}

std::string call_identity(std::string_view app) {
  return fmt::format("{}-r", app);
}
std::string message_identity(std::string_view app) {
  return fmt::format("{}-d", app);
}

std::string_view app_of(std::string_view identity) {
  const bool is_of_an_app = identity.ends_with("-r") || identity.ends_with("-d");
  return is_of_an_app ? identity.substr(0, identity.size() - 2) : identity;
}

Status check_app_id(std::string_view app) {
  const bool good =
      !app.empty() && app.size() <= 64 && std::all_of(app.begin(), app.end(), [](unsigned char c) {
        return std::isalnum(c) != 0 || c == '_' || c == '-' || c == '.';
      });
  if (!good)
    return fail(Errc::Invalid, "app id '{}': expected 1 to 64 letters, digits, '-', '_' or '.'", app);
  return {};
}

}  // namespace furnace::protocol
