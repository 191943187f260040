#include "supervision/supervisor.h"

#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>

#include "base/directories.h"
#include "base/file.h"
#include "base/log.h"
#include "base/signals.h"
#include "supervision/part_process.h"

namespace furnace::supervision {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kFirstDelay(500), kLongestDelay(30'000);
constexpr milliseconds kGoodLife(30'000);       ///< after which the delay is short again
constexpr milliseconds kTimeToBeReady(60'000);  ///< a kernel may have to be found first
constexpr milliseconds kBetweenLooks(1000);     ///< at a VMI partition that is somebody else's
constexpr milliseconds kTimeToEnd(15'000);      ///< the launcher itself kills after ten seconds

/// Where parts tell that they are ready (sd_notify(3)): who has sent a message the kernel says.
class ReadySocket {
 public:
  static Result<ReadySocket> bind() {
    ReadySocket made;
    std::error_code error;
    std::filesystem::create_directories(run_directory(), error);
    made.path_ = (run_directory() / fmt::format("run.{}", ::getpid())).string();
    sockaddr_un address{AF_UNIX, {}};
    if (made.path_.size() >= sizeof address.sun_path)
      return fail(Errc::Invalid, "{}: too long for a socket; set FURNACE_RUN", made.path_);
    std::memcpy(address.sun_path, made.path_.c_str(), made.path_.size());
    made.socket_ = Fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    ::unlink(made.path_.c_str());
    const int on = 1;
    if (::bind(made.socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) !=
            0 ||  // NOLINT
        ::setsockopt(made.socket_.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on) != 0)
      return fail_errno("{}", made.path_);
    return made;
  }
  ReadySocket(ReadySocket&&) = default;
  ReadySocket& operator=(ReadySocket&&) = delete;
  ~ReadySocket() {
    if (socket_.valid()) ::unlink(path_.c_str());
  }

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] int descriptor() const { return socket_.get(); }
  /// The process that is ready; 0: no message.
  [[nodiscard]] pid_t take() const {
    std::array<char, 256> text{};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(ucred))> control{};
    iovec piece{text.data(), text.size()};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t got = ::recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC);
    const cmsghdr* const header = CMSG_FIRSTHDR(&message);
    if (got <= 0 || header == nullptr || header->cmsg_type != SCM_CREDENTIALS) return 0;
    ucred sender{};
    std::memcpy(&sender, CMSG_DATA(header), sizeof sender);
    return std::string_view(text.data(), static_cast<size_t>(got)).find("READY=1") == std::string_view::npos
               ? 0
               : sender.pid;
  }

 private:
  ReadySocket() = default;
  std::string path_;
  Fd socket_;
};

/// A part, and what is to become of it.
struct Supervised {
  explicit Supervised(Part part) : process(std::move(part)) {}
  PartProcess process;
  milliseconds delay = kFirstDelay;
  Clock::time_point start_at{};  ///< not before
  Clock::time_point started{};
  unsigned restarts = 0;
  bool elsewhere = false;      ///< somebody else runs it
  bool to_be_renewed = false;  ///< it is being ended to be started again
};

class Supervisor {
 public:
  Supervisor(const Manifest& manifest, Fd stop, ReadySocket ready)
      : manifest_(manifest), stop_(std::move(stop)), ready_(std::move(ready)) {
    for (Part& part : parts_of(manifest)) parts_.emplace_back(std::move(part));
  }

  Result<int> run() {
    while (!exit_code_) {
      FURNACE_CHECK(start_what_can());
      wait(look_again_);
    }
    end_all();
    return *exit_code_;
  }

 private:
  static bool is(const Supervised& part, std::string_view name) { return part.process.part().name == name; }

  /// The VMI partition of this directory is somebody else's: the lock says so.
  [[nodiscard]] bool served_elsewhere() const {
    std::error_code ignored;
    const auto lock = manifest_.vm.directory / "vmi_rtr.lock";
    if (!std::filesystem::exists(lock, ignored)) return false;
    const auto taken = lock_file(lock);
    return !taken && taken.error().code() == Errc::Unavailable;
  }

  /// Parts are started one after the other, each when the one before is ready.
  Status start_what_can() {
    look_again_ = kBetweenLooks;
    for (Supervised& part : parts_) {
      if (part.elsewhere) part.elsewhere = served_elsewhere();
      if (part.elsewhere) continue;
      if (part.process.running()) {
        if (part.process.ready) continue;
        if (Clock::now() - part.started < kTimeToBeReady) return {};
        if (!std::exchange(part.to_be_renewed, true)) {
          log::error("{}: not ready within {} s", part.process.part().name, kTimeToBeReady.count() / 1000);
          part.process.signal(SIGTERM);
        }
        return {};
      }
      if (const auto left = std::chrono::ceil<milliseconds>(part.start_at - Clock::now()); left.count() > 0) {
        look_again_ = std::min(left, kBetweenLooks);
        return {};
      }
      if (is(part, "vmi") && served_elsewhere()) {
        log::info("vmi: one serves at {} already", manifest_.vm.directory.string());
        part.elsewhere = true;
        continue;
      }
      part.started = Clock::now();
      part.to_be_renewed = false;
      FURNACE_CHECK(part.process.start(ready_.path()));
      // What doesn't tell when it is ready is waited for by who needs it.
      part.process.ready = is(part, "proxy");
      if (!part.process.ready) return {};
    }
    return {};
  }

  void wait(milliseconds time) {
    // Once all is being ended a first signal has nothing to add, and a second one ends us.
    std::vector<pollfd> items{{exit_code_ ? -1 : stop_.get(), POLLIN, 0}, {ready_.descriptor(), POLLIN, 0}};
    for (const Supervised& part : parts_) {
      items.push_back({part.process.log_descriptor(), POLLIN, 0});
      items.push_back({part.process.running() ? part.process.end_descriptor() : -1, POLLIN, 0});
      if (!part.process.running() && !part.elsewhere)
        time =
            std::clamp(std::chrono::ceil<milliseconds>(part.start_at - Clock::now()), milliseconds(0), time);
    }
    if (::poll(items.data(), items.size(), static_cast<int>(time.count())) <= 0) return;
    if (items[0].revents != 0) exit_code_ = 0;
    if (items[1].revents != 0) note_ready();
    constexpr size_t first = 2;
    for (size_t i = 0; i < parts_.size(); ++i) {
      if (items[first + 2 * i].revents != 0) (void)parts_[i].process.take_log();
      if (items[first + 2 * i + 1].revents != 0) note_end(parts_[i]);
    }
  }

  void note_ready() {
    while (const pid_t sender = ready_.take())
      for (Supervised& part : parts_) {
        if (!part.process.running() || part.process.pid() != sender) continue;
        part.process.ready = true;
        log::info("{} is ready after {:.1f} s", part.process.part().name,
                  std::chrono::duration<double>(Clock::now() - part.started).count());
      }
  }

  void note_end(Supervised& part) {
    const End end = part.process.take_end();
    if (exit_code_) return;
    const bool renewed = std::exchange(part.to_be_renewed, false);
    if (is(part, "app") && !renewed) {
      const bool again = manifest_.restart == Restart::Always ||
                         (manifest_.restart == Restart::OnFailure && end.exit_code != 0);
      if (end.exit_code != 0) report(part, end);
      if (!again) {
        exit_code_ = end.exit_code;
        return;
      }
    } else if (!renewed) {
      report(part, end);
    }
    if (is(part, "vmi")) renew_app();
    start_later(part, end, renewed);
  }

  void report(const Supervised& part, const End& end) const {
    const auto written =
        write_crash_report(manifest_.directory / "crashes", part.process, end, part.restarts);
    log::error("{} ended after {:.1f} s: {}; {}", part.process.part().name, end.seconds, end.text,
               written ? "see " + written->string() : written.error().message());
  }

  void renew_app() {
    for (Supervised& part : parts_)
      if (is(part, "app") && part.process.running() && !std::exchange(part.to_be_renewed, true))
        part.process.signal(SIGTERM);
  }

  static void start_later(Supervised& part, const End& end, bool at_once) {
    if (std::chrono::duration<double>(end.seconds) > kGoodLife || at_once) part.delay = kFirstDelay;
    part.start_at = Clock::now() + (at_once ? milliseconds(0) : part.delay);
    if (at_once) return;
    ++part.restarts;
    log::info("{} starts again in {:.1f} s", part.process.part().name,
              std::chrono::duration<double>(part.delay).count());
    part.delay = std::min(part.delay * 2, kLongestDelay);
  }

  /// The app first, then what it lives on.
  void end_all() {
    for (auto part = parts_.rbegin(); part != parts_.rend(); ++part) {
      part->process.signal(SIGTERM);
      const auto end = Clock::now() + kTimeToEnd;
      while (part->process.running()) {
        if (Clock::now() > end) part->process.signal(SIGKILL);
        constexpr milliseconds look(100);
        wait(look);
      }
    }
  }

  const Manifest& manifest_;
  Fd stop_;
  ReadySocket ready_;
  std::vector<Supervised> parts_;
  milliseconds look_again_ = kBetweenLooks;
  std::optional<int> exit_code_;
};

}  // namespace

Result<int> run_app(const Manifest& manifest) {
  FURNACE_TRY(Fd stop, stop_signals());
  FURNACE_TRY(ReadySocket ready, ReadySocket::bind());
  const auto lock = lock_file(manifest.directory / "run.lock");
  if (!lock && lock.error().code() == Errc::Unavailable)
    return fail(Errc::Unavailable, "another `furnace run` has the manifest in {}",
                manifest.directory.string());
  if (!lock) return tl::unexpected<Error>(lock.error());
  return Supervisor(manifest, std::move(stop), std::move(ready)).run();
}

}  // namespace furnace::supervision
