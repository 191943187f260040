// Packets of GDB's remote serial protocol over a stream socket (GDB manual, appendix E).
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/result.h"

namespace furnace::hypervisor {

/// A packet as it goes over the wire: $payload#checksum.
[[nodiscard]] std::string gdb_packet(std::string_view payload);

/// Takes packets out of a stream of bytes; acknowledgements are passed over, as QEMU needs none: the next
/// command says that the last answer arrived.
class GdbPacketReader {
 public:
  /// Fails where a packet grows beyond any that a stub sends.
  [[nodiscard]] Status append(std::string_view bytes);
  /// The next packet's payload. A packet with a wrong checksum is passed over.
  [[nodiscard]] std::optional<std::string> next();

 private:
  std::string buffer_;
};

class GdbRemote {
 public:
  explicit GdbRemote(Fd socket) : socket_(std::move(socket)) {}

  [[nodiscard]] int descriptor() const { return socket_.get(); }
  [[nodiscard]] bool connected() const { return connected_; }

  [[nodiscard]] Status send(std::string_view payload) { return send_raw(gdb_packet(payload)); }
  /// Several packets at once, or the interrupt character.
  [[nodiscard]] Status send_raw(std::string_view bytes);

  /// A packet that is here already.
  [[nodiscard]] Result<std::optional<std::string>> try_receive();
  /// The next packet; fails (Errc::Unavailable) if there is none in time.
  [[nodiscard]] Result<std::string> receive(std::chrono::milliseconds time = kAnswerTime);
  /// Sends a command and returns its answer.
  [[nodiscard]] Result<std::string> exchange(std::string_view payload);

 private:
  /// A stub answers in microseconds; one that is this late has been stopped.
  static constexpr std::chrono::milliseconds kAnswerTime{2000};

  Fd socket_;
  GdbPacketReader reader_;
  bool connected_ = true;
};

}  // namespace furnace::hypervisor
