// QEMU's machine protocol over a UNIX socket (docs/interop/qmp-spec.txt).
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace furnace::hypervisor {

class Qmp {
 public:
  /// Connects and greets. A socket that takes the connection but stays silent has another client: QEMU serves
  /// one at a time (Errc::Unavailable).
  [[nodiscard]] static Result<Qmp> connect(const std::filesystem::path& socket);

  /// Runs a command; `arguments` is a JSON object or empty. Returns the text of its "return" value.
  [[nodiscard]] Result<std::string> command(std::string_view name, std::string_view arguments = {});

  /// Runs a command of the human monitor and returns what it prints.
  [[nodiscard]] Result<std::string> human(std::string_view command_line);

  /// Names of the events that came since the last call ("RESET", "STOP", ...), without blocking.
  [[nodiscard]] std::vector<std::string> take_events();

  [[nodiscard]] int descriptor() const { return socket_.get(); }
  [[nodiscard]] bool connected() const { return connected_; }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  Qmp(Fd socket, std::filesystem::path path) : socket_(std::move(socket)), path_(std::move(path)) {}

  /// The next line, waiting at most `timeout_ms`.
  [[nodiscard]] Result<std::string> read_line(int timeout_ms);
  [[nodiscard]] bool note_event(std::string_view line);

  Fd socket_;
  std::filesystem::path path_;
  std::string buffer_;
  std::vector<std::string> events_;
  bool connected_ = true;
};

}  // namespace furnace::hypervisor
