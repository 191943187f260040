#include "vmi/metrics.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>

#include "base/bytes.h"

namespace furnace::vmi {
namespace {

struct Metric {
  const char* name;
  const char* help;
  uint64_t Counters::*counter;
};
constexpr std::array kMetrics = {
    Metric{"messages", "Messages that were answered", &Counters::messages},
    Metric{"calls", "Calls that were executed", &Counters::calls},
    Metric{"failed_calls", "Calls that failed", &Counters::failed_calls},
    Metric{"received_bytes", "Bytes of its messages", &Counters::bytes_in},
    Metric{"sent_bytes", "Bytes of the answers", &Counters::bytes_out},
    Metric{"events", "Events that were delivered", &Counters::events},
    Metric{"lost_events", "Events that found its queue full", &Counters::events_lost},
    Metric{"refused_messages", "Messages refused because too many waited", &Counters::refused},
    Metric{"throttled", "Times it waited for its rate of calls", &Counters::throttled},
    Metric{"watchdog", "SYNC events not resumed in time", &Counters::watchdog},
    Metric{"busy_nanoseconds", "Time spent on its calls", &Counters::busy_ns},
};

std::string label(std::string_view text) {
  std::string escaped;
  for (const char c : printable(text)) {
    if (c == '\\' || c == '"') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

}  // namespace

std::string metrics_text(const std::string& vm, const std::map<std::string, Client, std::less<>>& clients,
                         uint64_t dropped) {
  std::string text;
  for (const Metric& metric : kMetrics) {
    text += fmt::format("# HELP furnace_vmi_{0}_total {1}\n# TYPE furnace_vmi_{0}_total counter\n",
                        metric.name, metric.help);
    for (const auto& [identity, client] : clients)
      text += fmt::format("furnace_vmi_{}_total{{vm=\"{}\",app=\"{}\"}} {}\n", metric.name, label(vm),
                          label(client.session.identity), client.session.counters.*metric.counter);
  }
  text +=
      "# HELP furnace_vmi_outstanding_bytes Bytes of answers that it has not read\n# TYPE "
      "furnace_vmi_outstanding_bytes gauge\n";
  for (const auto& [identity, client] : clients)
    text += fmt::format("furnace_vmi_outstanding_bytes{{vm=\"{}\",app=\"{}\"}} {}\n", label(vm),
                        label(client.session.identity), client.outstanding->load());
  text += fmt::format(
      "# HELP furnace_vmi_dropped_total Messages of no valid form\n# TYPE furnace_vmi_dropped_total counter\n"
      "furnace_vmi_dropped_total{{vm=\"{}\"}} {}\n",
      label(vm), dropped);
  return text;
}

Result<MetricsSocket> MetricsSocket::bind(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return fail(Errc::Invalid, "{}: too long for a socket's path", path);
  path.copy(address.sun_path, path.size());
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return fail_errno("socket");
  struct stat status {};
  if (::lstat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode)) ::unlink(path.c_str());
  const mode_t before = ::umask(0177);
  const int bound = ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  ::umask(before);
  if (bound != 0 || ::listen(fd.get(), 8) != 0) return fail_errno("metrics socket {}", path);
  return MetricsSocket(std::move(fd), path);
}

MetricsSocket::~MetricsSocket() {
  if (fd_.valid()) ::unlink(path_.c_str());
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

}  // namespace furnace::vmi
