#include "hypervisor/qemu/qmp.h"

#include <poll.h>
#include <sys/socket.h>

#include <nlohmann/json.hpp>

#include "hypervisor/qemu/socket_holder.h"

namespace furnace::hypervisor {
namespace {

using nlohmann::json;

using Clock = std::chrono::steady_clock;

constexpr int kGreetingTimeoutMs = 2000;
constexpr std::chrono::seconds kTurnTimeout(10), kUnseenTimeout(1);
constexpr int kBetweenTriesMs = 20;
constexpr int kCommandTimeoutMs = 10'000;
constexpr size_t kMaxMessage = 64 << 20;

json parse(std::string_view text) {
  return json::parse(text, nullptr, false);
}

}  // namespace

Result<Qmp> Qmp::connect(const std::filesystem::path& socket) {
  // Others of ours let go of it within a moment: a guard, `furnace ps`.
  const auto start = Clock::now();
  auto last_known = start;  // when it was free, or its holder to be seen
  while (true) {
    auto qmp = try_connect(socket);
    if (qmp || qmp.error().code() != Errc::Unavailable) return qmp;
    const auto holder = holder_of(socket);
    const bool is_seen = holder && holder->pid != 0;
    if (is_seen && !holder->is_brief()) return qmp;
    const auto now = Clock::now();
    if (is_seen || !holder) last_known = now;
    // One without a process has just exited, or is not for us to see.
    if (now > start + kTurnTimeout || now > last_known + kUnseenTimeout) return qmp;
    ::poll(nullptr, 0, kBetweenTriesMs);
  }
}

Result<Qmp> Qmp::try_connect(const std::filesystem::path& socket) {
  // Who connects to a busy socket stays in its queue, also after giving up: it must not come to that.
  const auto holder = holder_of(socket);
  auto fd = holder ? Result<Fd>(Fd()) : connect_unix(socket);
  if (holder || (!fd && fd.error().code() == Errc::Unavailable))
    return fail(Errc::Unavailable,
                "QMP socket {} is held by {}; QEMU serves one client at a time (give this QEMU a second -qmp "
                "unix:PATH,server=on,wait=off)",
                socket.string(), holder.value_or(SocketHolder()).text());
  if (!fd) {
    const char* way_out =
        fd.error().code() == Errc::Denied ? " (run as the user QEMU runs as, or as root)" : "";
    return fail(fd.error().code(), "QMP socket: {}{}", fd.error().message(), way_out);
  }
  Qmp qmp(*std::move(fd), socket);
  const auto greeting = qmp.read_message(kGreetingTimeoutMs);
  if (!greeting)
    return fail(holder_of(socket) ? Errc::Unavailable : Errc::Failed,
                "QMP socket {}: no greeting within {} s; is it held by another client?", socket.string(),
                kGreetingTimeoutMs / 1000);
  if (!parse(*greeting).contains("QMP"))
    return fail(Errc::Invalid, "{}: not a QMP socket: it greets with '{:.60}'", socket.string(), *greeting);
  FURNACE_CHECK(qmp.command("qmp_capabilities"));
  return qmp;
}

Result<std::string> Qmp::read_message(int timeout_ms) {
  const auto deadline = Clock::now() + std::chrono::milliseconds(timeout_ms);
  while (true) {
    if (auto message = received_.take()) return *std::move(message);
    if (!connected_) return fail(Errc::Unavailable, "QMP socket {}: QEMU closed it", path_.string());
    if (received_.size() > kMaxMessage)
      return fail(Errc::Invalid, "QMP socket {}: a message without end", path_.string());
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    pollfd waiting{socket_.get(), POLLIN, 0};
    const int ready = ::poll(&waiting, 1, static_cast<int>(std::max<int64_t>(left, 0)));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return fail(Errc::Unavailable, "QMP socket {}: no answer", path_.string());
    char piece[16 << 10];
    const ssize_t got = ::recv(socket_.get(), piece, sizeof piece, 0);
    if (got <= 0) {
      connected_ = false;
    } else {
      received_.append({piece, static_cast<size_t>(got)});
    }
  }
}

bool Qmp::note_event(std::string_view text) {
  // Quick, as each event of a guest makes two of QEMU's: inside of JSON strings quotes have a backslash.
  constexpr std::string_view key = R"("event": ")";
  if (const size_t at = text.find(key); at != std::string_view::npos) {
    const std::string_view name = text.substr(at + key.size());
    events_.emplace_back(name.substr(0, name.find('"')));
    if (events_.back() == "RESUME") ++resumes_;
    return true;
  }
  const json message = parse(text);
  if (!message.is_object() || !message.contains("event") || !message["event"].is_string()) return false;
  events_.push_back(message["event"].get<std::string>());
  if (events_.back() == "RESUME") ++resumes_;
  return true;
}

Result<std::string> Qmp::command(std::string_view name, std::string_view arguments, int descriptor) {
  // An answer that comes too late must not be taken for that of the next command.
  const std::string id = fmt::format("{}-{}", made_.time_since_epoch().count(), ++commands_);
  std::string request = fmt::format(R"({{"execute":"{}","id":"{}")", name, id);
  if (!arguments.empty()) request += fmt::format(R"(,"arguments":{})", arguments);
  request += "}\n";
  if (auto sent = send_with(socket_, request, descriptor); !sent) {
    connected_ = false;
    return fail(sent.error(), fmt::format("QMP socket {}: {}", path_.string(), name));
  }
  while (true) {
    auto message = read_message(kCommandTimeoutMs);
    if (!message) return fail(message.error(), name);
    if (note_event(*message)) continue;
    const json answer = parse(*message);
    if (answer.is_object() && answer.contains("id") && answer["id"] != id) continue;
    if (answer.is_object() && answer.contains("return")) return answer["return"].dump();
    if (answer.is_object() && answer.contains("error"))
      return fail(Errc::Failed, "QMP {}: {}", name,
                  answer["error"].value("desc", "error without description"));
    return fail(Errc::Invalid, "QMP {}: unexpected answer '{:.100}'", name, *message);
  }
}

Result<std::string> Qmp::human(std::string_view command_line) {
  FURNACE_TRY(const std::string answer,
              command("human-monitor-command", json{{"command-line", command_line}}.dump()));
  const json text = parse(answer);
  if (!text.is_string()) return fail(Errc::Invalid, "QMP human-monitor-command '{}': no text", command_line);
  return text.get<std::string>();
}

std::vector<std::string> Qmp::take_events() {
  while (connected_ || received_.any()) {
    const auto message = read_message(0);
    if (!message) break;
    (void)note_event(*message);
  }
  return std::exchange(events_, {});
}

}  // namespace furnace::hypervisor
