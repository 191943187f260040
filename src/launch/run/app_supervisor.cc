#include "launch/run/app_supervisor.h"

#include <poll.h>

#include <algorithm>
#include <csignal>

#include "base/bytes.h"
#include "base/file.h"
#include "base/log.h"
#include "launch/options/exit_codes.h"
#include "launch/run/part_process.h"
#include "launch/run/ready_socket.h"
#include "launch/run/restarts.h"
#include "launch/run/vm_presence.h"

namespace furnace::launch {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kTimeToBeReady(60'000);  ///< a kernel may have to be found first
constexpr milliseconds kBetweenLooks(1000);     ///< at a VM, or a VMI partition of another command
constexpr milliseconds kTimeToEnd(15'000);      ///< the launcher itself kills after ten seconds

/// A part, and what is to become of it.
struct Supervised {
  Supervised(Part part, const StartLimit& limit) : process(std::move(part)), restarts(limit) {}
  [[nodiscard]] const std::string& name() const { return process.part().name; }

  PartProcess process;
  Restarts restarts;
  Clock::time_point start_at{};  ///< not before
  Clock::time_point started{};
  unsigned failures = 0;
  bool was_ready = false;      ///< ever: then its configuration is right
  bool was_made = false;       ///< of an app: its object, ever
  bool elsewhere = false;      ///< another command runs it
  bool to_be_renewed = false;  ///< it is being ended to be started again
};

class AppSupervisor {
 public:
  AppSupervisor(const Manifest& manifest, Fd stop, ReadySocket ready)
      : manifest_(manifest), stop_(std::move(stop)), ready_(std::move(ready)) {
    for (Part& part : parts_of(manifest)) parts_.emplace_back(std::move(part), manifest.start_limit);
  }

  Result<int> run() {
    while (!exit_code_) {
      FURNACE_CHECK(start_what_can());
      if (!exit_code_) wait(look_again_);
    }
    end_all();
    if (!reason_.empty()) return fail(Errc::Failed, "{}", reason_);
    return *exit_code_;
  }

 private:
  static bool is(const Supervised& part, std::string_view name) { return part.name() == name; }

  /// Parts are started one after the other, each when the one before is ready.
  Status start_what_can() {
    look_again_ = kBetweenLooks;
    for (Supervised& part : parts_) {
      if (part.elsewhere) part.elsewhere = served_elsewhere(manifest_.vm);
      if (part.elsewhere) continue;
      if (part.process.running()) {
        if (part.process.ready) continue;
        end_if_never_ready(part);
        return {};
      }
      if (const auto left = std::chrono::ceil<milliseconds>(part.start_at - Clock::now()); left.count() > 0) {
        look_again_ = std::min(left, kBetweenLooks);
        return {};
      }
      if (is(part, "vmi") && served_elsewhere(manifest_.vm)) {
        log::info("vmi: one serves at {} already", manifest_.vm.directory.string());
        part.elsewhere = true;
        continue;
      }
      if (is(part, "vmi") && !vm_is_there()) return {};
      return start(part);
    }
    return {};
  }

  Status start(Supervised& part) {
    if (!part.restarts.count_start(Clock::now())) {
      give_up(fmt::format(
          "{}: started {} times within {} s (start_limit_burst, "
          "start_limit_interval_seconds); the last time: {}",
          part.name(), manifest_.start_limit.burst, manifest_.start_limit.interval_seconds, last_words_));
      return {};
    }
    part.started = Clock::now();
    part.to_be_renewed = false;
    return part.process.start(ready_.path());
  }

  void end_if_never_ready(Supervised& part) {
    if (Clock::now() - part.started < kTimeToBeReady || std::exchange(part.to_be_renewed, true)) return;
    const std::string text =
        fmt::format("{}: not ready within {} s", part.name(), kTimeToBeReady.count() / 1000);
    if (!part.was_ready) return give_up(text);
    log::error("{}", text);
    part.process.signal(SIGTERM);
  }

  /// Without its VM nothing is started. It is the end, unless the manifest says that the VM will come.
  bool vm_is_there() {
    const Status there = check_vm(manifest_.vm);
    if (!there && !manifest_.wait_for_vm) {
      give_up(vm_was_there_ ? fmt::format("VM '{}' has ended", manifest_.vm.name) : there.error().message());
    } else if (!there && !std::exchange(waiting_for_vm_, true)) {
      log::info("{}; waiting for it", there.error().message());
    } else if (there) {
      vm_was_there_ = true;
      waiting_for_vm_ = false;
    }
    return there.has_value();
  }

  void wait(milliseconds time) {
    // Once all is being ended a first signal has nothing to add, and a second one ends us.
    std::vector<pollfd> items{{exit_code_ ? -1 : stop_.get(), POLLIN, 0}, {ready_.descriptor(), POLLIN, 0}};
    for (const Supervised& part : parts_) {
      items.push_back({part.process.log_descriptor(), POLLIN, 0});
      items.push_back({part.process.running() ? part.process.end_descriptor() : -1, POLLIN, 0});
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
        part.process.ready = part.was_ready = true;
        log::info("{} is ready after {:.1f} s", part.name(),
                  std::chrono::duration<double>(Clock::now() - part.started).count());
      }
  }

  void note_end(Supervised& part) {
    const End end = part.process.take_end();
    if (exit_code_) return;
    part.was_made = part.was_made || end.exit_code != kAppNotMade;
    if (std::exchange(part.to_be_renewed, false)) return start_at_once(part);
    const bool is_app = is(part, "app");
    if (!is_app || end.exit_code != 0) report(part, end);
    if (is_app && !runs_again(end)) {
      exit_code_ = end.exit_code;
      return;
    }
    last_words_ = last_words(part, end);
    if (is_app && !part.was_made) return give_up(fmt::format("app: its first start failed: {}", last_words_));
    if (!part.was_ready && !(is(part, "vmi") && vm_may_return()))
      return give_up(fmt::format("{}: its first start failed: {}", part.name(), last_words_));
    if (is(part, "vmi")) renew_app();
    start_later(part, end);
  }

  [[nodiscard]] bool runs_again(const End& app) const {
    return manifest_.restart == Restart::Always ||
           (manifest_.restart == Restart::OnFailure && app.exit_code != 0);
  }

  /// It ended while its VMI partition was starting.
  [[nodiscard]] bool vm_may_return() const { return manifest_.wait_for_vm && !check_vm(manifest_.vm); }

  void report(const Supervised& part, const End& end) const {
    const auto written =
        write_crash_report(manifest_.directory / "crashes", part.process, end, part.failures);
    log::error("{} ended after {:.1f} s: {}; {}", part.name(), end.seconds, end.text,
               written ? "see " + written->string() : written.error().message());
  }

  /// How it ended, and what it said last.
  static std::string last_words(const Supervised& part, const End& end) {
    const auto& lines = part.process.last_lines();
    return lines.empty() ? end.text : fmt::format("{}: {}", end.text, printable_lines(lines.back()));
  }

  void renew_app() {
    for (Supervised& part : parts_)
      if (is(part, "app") && part.process.running() && !std::exchange(part.to_be_renewed, true))
        part.process.signal(SIGTERM);
  }

  static void start_at_once(Supervised& part) {
    part.restarts.forgive();
    part.start_at = Clock::now();
  }

  static void start_later(Supervised& part, const End& end) {
    const auto life = std::chrono::duration<double>(end.seconds);
    const milliseconds delay = part.restarts.delay_after(std::chrono::duration_cast<Clock::duration>(life));
    part.start_at = Clock::now() + delay;
    ++part.failures;
    log::info("{} starts again in {:.1f} s", part.name(), std::chrono::duration<double>(delay).count());
  }

  /// Nothing will come right by itself: all is ended, for this reason.
  void give_up(std::string reason) {
    reason_ = std::move(reason);
    exit_code_ = 1;
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
  std::string reason_;      ///< why nothing is started any more
  std::string last_words_;  ///< of the part that ended last
  bool vm_was_there_ = false, waiting_for_vm_ = false;
};

}  // namespace

Result<int> run_app(const Manifest& manifest, Fd stop) {
  FURNACE_TRY(ReadySocket ready, ReadySocket::bind());
  FURNACE_TRY(const Directory directory, Directory::open(manifest.directory, Care::Content));
  const auto lock = directory.lock("run.lock");
  if (!lock && lock.error().code() == Errc::Unavailable)
    return fail(Errc::Unavailable, "another `furnace run` has the manifest in {}",
                manifest.directory.string());
  if (!lock) return tl::unexpected<Error>(lock.error());
  return AppSupervisor(manifest, std::move(stop), std::move(ready)).run();
}

}  // namespace furnace::launch
