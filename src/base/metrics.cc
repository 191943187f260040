#include "base/metrics.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/bounds.h"
#include "base/bytes.h"
#include "base/directory.h"
#include "base/printable.h"
#include "base/text.h"

namespace furnace {
namespace {

std::string label(std::string_view text) {
  std::string escaped;
  for (const char c : printable(text)) {
    if (c == '\\' || c == '"') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

Result<Fd> listen_at(int family, const void* address, size_t size, const std::string& where) {
  Fd fd(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return fail_errno("socket");
  const int on = 1;
  if (family == AF_INET) ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  constexpr int backlog = 8;
  if (::bind(fd.get(), static_cast<const sockaddr*>(address), static_cast<socklen_t>(size)) != 0 ||
      ::listen(fd.get(), backlog) != 0)
    return fail_errno("metrics at {}", where);
  return fd;
}

Result<Fd> listen_unix(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return fail(Errc::Invalid, "{}: too long for a socket's path", path);
  // It is removed by its path at the end.
  FURNACE_TRY(const NamedPlace place, place_of_file(path, Care::Names));
  path.copy(address.sun_path, path.size());
  struct stat status {};
  if (::lstat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode)) ::unlink(path.c_str());
  const mode_t before = ::umask(0177);
  auto fd = listen_at(AF_UNIX, &address, sizeof address, path);
  ::umask(before);
  return fd;
}

Result<Fd> listen_tcp(const std::string& where) {
  FURNACE_TRY(const Endpoint endpoint,
              parse_endpoint(fmt::format("metrics at '{}'", where), where, bounds::kPort));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  if (::inet_pton(AF_INET, endpoint.host.c_str(), &address.sin_addr) != 1)
    return fail(Errc::Invalid,
                "metrics at '{}': expected ADDRESS:PORT, as 127.0.0.1:9464, or a path with a '/'", where);
  address.sin_port = htons(endpoint.port);
  return listen_at(AF_INET, &address, sizeof address, where);
}

}  // namespace

void MetricsText::metric(std::string_view name, std::string_view help, std::string_view type) {
  name_ = name;
  text_ += fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n", name, help, type);
}

void MetricsText::sample(Labels labels, uint64_t value) {
  text_ += name_;
  char before = '{';
  for (const auto& [key, of] : labels) {
    text_ += fmt::format("{}{}=\"{}\"", before, key, label(of));
    before = ',';
  }
  text_ += fmt::format("{} {}\n", labels.size() != 0 ? "}" : "", value);
}

void MetricsText::single(std::string_view name, std::string_view help, Labels labels, uint64_t value,
                         std::string_view type) {
  metric(name, help, type);
  sample(labels, value);
}

std::string_view metrics_path(std::string_view where) {
  return where.find('/') != std::string_view::npos || where.find(':') == std::string_view::npos ? where : "";
}

Result<MetricsSocket> MetricsSocket::bind(const std::string& where) {
  const std::string path(metrics_path(where));
  FURNACE_TRY(Fd fd, path.empty() ? listen_tcp(where) : listen_unix(path));
  return MetricsSocket(std::move(fd), path);
}

Result<std::optional<MetricsSocket>> MetricsSocket::make(const std::string& where, int bound) {
  std::optional<MetricsSocket> made;
  if (!where.empty()) {
    FURNACE_TRY(MetricsSocket socket, bind(where));
    made.emplace(std::move(socket));
  } else if (bound >= 0) {
    made.emplace(from(Fd(bound)));
  }
  return made;
}

MetricsSocket::~MetricsSocket() {
  if (fd_.valid() && !path_.empty()) ::unlink(path_.c_str());
}

void MetricsSocket::answer(const std::string& text) {
  const std::string reply = fmt::format(
      "HTTP/1.0 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\n\r\n{}",
      text.size(), text);
  while (true) {
    Fd peer(::accept4(fd_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!peer.valid()) return;
    // What fits into the socket's buffer: who does not read must not hold this loop up.
    [[maybe_unused]] const ssize_t sent = ::send(peer.get(), reply.data(), reply.size(), MSG_NOSIGNAL);
    ::shutdown(peer.get(), SHUT_WR);
    answered_.push_back(std::move(peer));
    constexpr size_t kept = 8;
    if (answered_.size() > kept) answered_.pop_front();
  }
}

}  // namespace furnace
