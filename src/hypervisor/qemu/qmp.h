// QEMU's machine protocol over a UNIX socket (docs/interop/qmp-spec.txt).
#pragma once

#include <chrono>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "hypervisor/qemu/qmp_messages.h"

namespace furnace::hypervisor {

class Qmp {
 public:
  /// Connects and greets. QEMU serves one client at a time: a socket that another one holds is refused at
  /// once and the holder named (Errc::Unavailable), unless it is one of ours that lets go within seconds.
  [[nodiscard]] static Result<Qmp> connect(const std::filesystem::path& socket);

  /// A connection that another process has made and greeted on; `path` is for messages.
  [[nodiscard]] static Qmp from(Fd socket, std::filesystem::path path) {
    return {std::move(socket), std::move(path)};
  }
  [[nodiscard]] Fd take_apart() && { return std::move(socket_); }

  /// Runs a command; `arguments` is a JSON object or empty. Returns the text of its "return" value.
  /// `descriptor` is handed to QEMU with it (getfd).
  [[nodiscard]] Result<std::string> command(std::string_view name, std::string_view arguments = {},
                                            int descriptor = -1);

  /// Runs a command of the human monitor and returns what it prints.
  [[nodiscard]] Result<std::string> human(std::string_view command_line);

  /// Names of the events that came since the last call ("RESET", "STOP", ...), without blocking.
  [[nodiscard]] std::vector<std::string> take_events();
  /// Whether there are some that were read already, with the answer to a command.
  [[nodiscard]] bool has_events() const { return !events_.empty() || received_.any(); }

  /// How many RESUME events have been read so far.
  [[nodiscard]] uint64_t resumes() const { return resumes_; }

  [[nodiscard]] int descriptor() const { return socket_.get(); }
  [[nodiscard]] bool connected() const { return connected_; }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  Qmp(Fd socket, std::filesystem::path path) : socket_(std::move(socket)), path_(std::move(path)) {}

  [[nodiscard]] static Result<Qmp> try_connect(const std::filesystem::path& socket);
  /// The next message, waiting at most `timeout_ms`.
  [[nodiscard]] Result<std::string> read_message(int timeout_ms);
  [[nodiscard]] bool note_event(std::string_view message);

  Fd socket_;
  std::filesystem::path path_;
  QmpMessages received_;
  std::vector<std::string> events_;
  std::chrono::steady_clock::time_point made_ = std::chrono::steady_clock::now();
  uint64_t resumes_ = 0, commands_ = 0;
  bool connected_ = true;
};

}  // namespace furnace::hypervisor
