// Where the messages of apps go besides the backend's callback: a file, the system's log, a SIEM over HTTP.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backend/message.h"
#include "base/result.h"

namespace furnace::backend {

class Sink {
 public:
  virtual ~Sink() = default;
  /// Stores all of them, or none: an error is tried again.
  [[nodiscard]] virtual Status write(std::span<const Message> messages) = 0;
};

/// JSON lines in a file, which becomes FILE.1 when it is larger than `rotate` bytes, and that FILE.2, up to
/// FILE.`keep`.
[[nodiscard]] Result<std::unique_ptr<Sink>> file_sink(const std::filesystem::path& file, uint64_t rotate,
                                                      unsigned keep);

/// The system's log: RFC 5424 lines as datagrams to a socket (/dev/log), or journald's own protocol with
/// fields of its own
/// (/run/systemd/journal/socket).
[[nodiscard]] Result<std::unique_ptr<Sink>> syslog_sink(const std::filesystem::path& socket);
[[nodiscard]] Result<std::unique_ptr<Sink>> journald_sink(const std::filesystem::path& socket);

/// POSTs to a URL: a JSON array of the messages, or an OpenTelemetry export (OTLP/HTTP JSON, to .../v1/logs).
/// `headers`: "Name: value" lines, sent with each.
[[nodiscard]] Result<std::unique_ptr<Sink>> webhook_sink(const std::string& url,
                                                         const std::vector<std::string>& headers);
[[nodiscard]] Result<std::unique_ptr<Sink>> otlp_sink(const std::string& url,
                                                      const std::vector<std::string>& headers);

/// The body of such an export.
[[nodiscard]] std::string otlp_body(std::span<const Message> messages);

/// What is written on the command line: file:PATH[,rotate=BYTES][,keep=N], syslog[:SOCKET],
/// journald[:SOCKET], webhook:URL, otlp:URL.
[[nodiscard]] Result<std::unique_ptr<Sink>> make_sink(std::string_view description,
                                                      const std::vector<std::string>& headers);

}  // namespace furnace::backend
