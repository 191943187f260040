#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "backend/sinks/record.h"
#include "backend/sinks/sink.h"
#include "base/bytes.h"
#include "base/fd.h"
#include "base/printable.h"

namespace furnace::backend {
namespace {

/// Sends one datagram for each message to a UNIX socket that may come and go.
class DatagramSink : public Sink {
 public:
  using Format = std::string (*)(const Message&);

  DatagramSink(std::string path, Format format) : path_(std::move(path)), format_(format) {}

  Status open() {
    address_.sun_family = AF_UNIX;
    if (path_.size() >= sizeof address_.sun_path)
      return fail(Errc::Invalid, "{}: too long for a socket's path", path_);
    path_.copy(address_.sun_path, path_.size());
    socket_ = Fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!socket_.valid()) return fail_errno("socket");
    if (::access(path_.c_str(), F_OK) != 0) return fail_errno("{}", path_);
    return {};
  }

  Status write(std::span<const Message> messages) override {
    // One at a time: what was written before an error must not come again.
    for (const Message& message : messages.subspan(done_)) {
      const std::string text = format_(message);
      const auto* to = reinterpret_cast<const sockaddr*>(&address_);
      if (::sendto(socket_.get(), text.data(), text.size(), MSG_NOSIGNAL, to, sizeof address_) < 0)
        return fail_errno("{}", path_);
      ++done_;
    }
    done_ = 0;
    return {};
  }

 private:
  std::string path_;
  Format format_;
  sockaddr_un address_{};
  Fd socket_;
  size_t done_ = 0;  // of the messages of a call that failed
};

constexpr int kFacility = 16, kSeverity = 6;  // local0, informational
// What every datagram socket takes; a message's beginning is better than none of it.
constexpr size_t kMaxText = 60'000;

std::string content_of(const Message& message) {
  if (message.is_bytes)
    return to_base64(as_bytes(message.content).first(std::min(message.content.size(), kMaxText / 2)));
  return valid_utf8(std::string_view(message.content).substr(0, kMaxText));
}

/// RFC 5424, section 6.
std::string syslog_line(const Message& message) {
  std::string escaped;  // of structured data
  for (const char c : message.app) {
    if (c == '"' || c == '\\' || c == ']') escaped += '\\';
    escaped += c;
  }
  return fmt::format("<{}>1 {} - furnace-backend {} {} [furnace@0 app=\"{}\"] {}", kFacility * 8 + kSeverity,
                     time_of(message), ::getpid(), kind_of(message), escaped, printable(content_of(message)));
}

/// systemd.io/JOURNAL_NATIVE_PROTOCOL: NAME=value lines; a value of more lines has its length in front.
std::string journal_entry(const Message& message) {
  std::string entry =
      fmt::format("PRIORITY={}\nSYSLOG_IDENTIFIER=furnace-backend\nFURNACE_APP={}\nFURNACE_KIND={}\n",
                  kSeverity, message.app, kind_of(message));
  if (!message.traceparent.empty())
    entry += fmt::format("FURNACE_TRACEPARENT={}\n", printable(message.traceparent));
  const std::string text = content_of(message);
  const uint64_t size = text.size();
  entry += "MESSAGE\n";
  entry.append(reinterpret_cast<const char*>(&size), sizeof size);
  return entry + text + '\n';
}

Result<std::unique_ptr<Sink>> datagram_sink(const std::filesystem::path& socket,
                                            DatagramSink::Format format) {
  auto sink = std::make_unique<DatagramSink>(socket, format);
  FURNACE_CHECK(sink->open());
  return sink;
}

}  // namespace

Result<std::unique_ptr<Sink>> syslog_sink(const std::filesystem::path& socket) {
  return datagram_sink(socket, syslog_line);
}
Result<std::unique_ptr<Sink>> journald_sink(const std::filesystem::path& socket) {
  return datagram_sink(socket, journal_entry);
}

}  // namespace furnace::backend
