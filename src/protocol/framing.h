// ZeroMQ multi-part messages as both socket kinds use them (wire.md sections 1 and 2).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>
#include <zmq.hpp>

#include "base/result.h"
#include "protocol/calls.h"

namespace furnace::protocol {

using Frames = std::vector<zmq::message_t>;

/// One whole message if one waits, without blocking. Frames past the eighth are read and dropped.
[[nodiscard]] std::optional<Frames> receive(zmq::socket_t& socket);

/// Sends all frames without blocking. Returns false, and sends nothing, if the peer has disconnected or its
/// queue is full.
bool send(zmq::socket_t& socket, const std::vector<std::string_view>& frames);
bool send(zmq::socket_t& socket, Frames& frames);

/// A message of a REQ socket as a ROUTER gets it: [identity][empty][body].
struct Request {
  std::string_view identity;
  zmq::message_t* body = nullptr;  ///< nullptr: the peer awaits an answer, but sent more or fewer frames
};
/// nullopt for what no REQ sends, so that no peer waits for an answer.
[[nodiscard]] std::optional<Request> as_request(Frames& frames);

/// Options every socket of ours has: no lingering at exit, no frame of more than `largest` bytes taken.
void set_common_options(zmq::socket_t& socket, int64_t largest = kMaxMessageSize);

/// An error if a text of this many bytes may not be sent: over kMaxFieldSize, which makes the receiver end
/// the connection.
[[nodiscard]] Status check_content(size_t bytes);

/// For sockets over TCP, on both sides: a peer that does not answer for some seconds counts as disconnected,
/// connections are tried again within a second, and no attempt is waited for longer than networks need.
/// `host`: IPv4 unless it is an IPv6 address. Before bind or connect.
void keep_connected(zmq::socket_t& socket, std::string_view host);

/// tcp://HOST:PORT, with an IPv6 address in brackets.
[[nodiscard]] std::string tcp_address(std::string_view host, int port);

/// bind and connect with errors that name the address and the cause.
[[nodiscard]] Status bind(zmq::socket_t& socket, const std::string& address);
[[nodiscard]] Status connect(zmq::socket_t& socket, const std::string& address);
/// bind where a socket of ours has just been closed or unbound: ZeroMQ's thread frees the port a little
/// later, which is waited for, one second at most.
[[nodiscard]] Status bind_again(zmq::socket_t& socket, const std::string& address);

/// The `ipc://` address of `name` in `directory`, checked against the length a UNIX socket path may have.
[[nodiscard]] Result<std::string> ipc_address(const std::string& directory, std::string_view name);

/// "<app>-r" and "<app>-d": the identities of an app's call socket and of its message socket.
[[nodiscard]] std::string call_identity(std::string_view app);
[[nodiscard]] std::string message_identity(std::string_view app);

/// The app that an identity is of: without its last "-r" or "-d".
[[nodiscard]] std::string_view app_of(std::string_view identity);

/// Whether `app` can name an app: 1 to 64 characters of [A-Za-z0-9_.-].
[[nodiscard]] Status check_app_id(std::string_view app);

inline std::string_view text(const zmq::message_t& frame) {
  return {static_cast<const char*>(frame.data()), frame.size()};
}

}  // namespace furnace::protocol
