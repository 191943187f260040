// Who holds the guest: the pauses of apps and of their SYNC events, and the watchdog of the latter.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "hypervisor/hypervisor.h"
#include "vmi/session.h"

namespace furnace::vmi {

/// The guest stays paused as long as any app holds a pause: each app's pauses are counted. A pause of a SYNC
/// event ends at RESUME_VM like that of PAUSE_VM, but also by itself when the app's watchdog expires; the
/// RESUME_VM that the app still owes for it is then too late, and changes nothing.
class Pauses {
 public:
  using Clock = std::chrono::steady_clock;
  using Milliseconds = std::chrono::milliseconds;
  using Watchdogs = std::map<std::string, Milliseconds, std::less<>>;

  explicit Pauses(hypervisor::Hypervisor& hypervisor) : hypervisor_(hypervisor) {}

  /// Sets how long a SYNC event may hold the guest, for apps that `by_app` doesn't name; zero: no limit.
  void set_watchdog(Milliseconds time, Watchdogs by_app = {}) {
    watchdog_ = time;
    watchdogs_ = std::move(by_app);
  }

  /// Pauses the guest for an app. The app has one pause more unless this fails.
  [[nodiscard]] Status pause(Session& app);

  enum class Resumed : uint8_t { InTime, TooLate };
  /// Ends one pause of an app, that of an event first; the guest resumes if it was the last of all apps.
  /// TooLate: it was ended by the watchdog before. Errc::Invalid if the app has none.
  [[nodiscard]] Result<Resumed> resume(Session& app);

  /// Pauses the guest, then reports an event to an app by `send`: the app may act at once. The pause is the
  /// app's then, and its watchdog starts again, for all events that it has not resumed. If `send` returns
  /// false, the app will never resume the guest, so the pause ends. Nothing is sent if the guest can't be
  /// paused.
  void hold_for_event(Session& app, const std::function<bool()>& send);

  /// Ends all pauses of an app, which has disconnected, and forgets it. Call it before a session goes.
  void release(Session& app);

  /// An app whose events held the guest for too long.
  struct Expired {
    Session* app;
    uint32_t events;
  };
  /// Ends the pauses of events whose watchdog has expired; those of PAUSE_VM stay.
  [[nodiscard]] std::vector<Expired> expire(Clock::time_point now);
  /// When the next watchdog expires.
  [[nodiscard]] std::optional<Clock::time_point> next_deadline() const;

 private:
  /// What an app holds. `deadline` is set only while `by_events` is not 0.
  struct Held {
    uint32_t by_calls = 0, by_events = 0;
    uint32_t late_resumes = 0;  ///< RESUME_VM calls that are to come for events whose watchdog has expired
    std::optional<Clock::time_point> deadline;
  };

  [[nodiscard]] bool is_held() const;
  [[nodiscard]] Status resume_unless_held();
  void resume_or_log();
  [[nodiscard]] Milliseconds watchdog_of(const Session& app) const;

  hypervisor::Hypervisor& hypervisor_;
  Milliseconds watchdog_{1000};
  Watchdogs watchdogs_;
  std::map<Session*, Held> apps_;
};

}  // namespace furnace::vmi
