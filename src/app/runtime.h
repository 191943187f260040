// An app's process: its clients, its loop, and what happens on them.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "app/facilities_client.h"
#include "app/presence.h"
#include "app/vmi_client.h"
#include "base/places.h"
#include "base/result.h"
#include "protocol/event_loop.h"

namespace furnace::app {

struct Options {
  std::string app;  ///< the app's id
  // Inside a partition the sockets lie here (wire.md section 6).
  std::string vmi = places::kVmi;                ///< directory of vmi_rtr
  std::string facilities = places::kFacilities;  ///< directory of fac_rtr and fac_pub
  int counter = -1;                              ///< descriptor of a MessageCounter
  std::chrono::seconds wait_for_vm{30};          ///< how long for a VMI partition that has ended; 0: no limit
};

class Runtime {
 public:
  enum class From { Notify, Broadcast };
  using BackendCallback = std::function<void(From, const Received&)>;
  using EventCallback = std::function<void(const wire::Event&)>;

  [[nodiscard]] static Result<std::unique_ptr<Runtime>> start(zmq::context_t& context,
                                                              const Options& options);
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;
  ~Runtime() { watch_->stop(); }

  [[nodiscard]] VmiClient& vmi() { return vmi_; }
  [[nodiscard]] FacilitiesClient& facilities() { return facilities_; }
  [[nodiscard]] protocol::EventLoop& loop() { return loop_; }

  /// Sets what gets the messages of the backend, in place of the one before; an empty function: nothing does.
  void on_backend_message(BackendCallback callback);
  void on_event(EventCallback callback) { event_callback_ = std::move(callback); }

  /// Called in the loop when there is a VMI partition again: what was registered before `vmi_losses` changed
  /// was lost with the one before.
  void on_vmi_again(std::function<void()> callback) { vmi_again_ = std::move(callback); }
  [[nodiscard]] uint64_t vmi_losses() const { return vmi_presence_.losses(); }
  static constexpr const char* kRegisteredBefore =
      "the connection to the VMI partition was lost, and with it what was registered there";

  /// Watches the partitions from now on. When the VMI partition is lost the loop ends, and `on_end` is called
  /// on another thread; the process is ended if it is still there a while later.
  void watch_partitions(std::function<void()> on_end);
  /// Why the app must exit: its VMI partition was lost.
  [[nodiscard]] std::optional<Error> end() const { return vmi_presence_.gone(); }
  /// Returns true the first time: the app's code is notified once, by an exception that it may catch.
  [[nodiscard]] bool may_tell_end() { return !is_end_told_->exchange(true); }
  /// The same for who may outlive this.
  [[nodiscard]] std::shared_ptr<std::atomic<bool>> end_told() const { return is_end_told_; }

 private:
  Runtime(const Options& options, MessageCounter counter, std::unique_ptr<PresenceWatch> watch, VmiClient vmi,
          FacilitiesClient facilities);
  [[nodiscard]] Status watch_sockets();
  void deliver(From from);
  void deliver_events();
  void deliver_event(const wire::Event& event);

  MessageCounter counter_;
  Presence vmi_presence_, facilities_presence_;
  std::unique_ptr<PresenceWatch> watch_;
  std::shared_ptr<std::atomic<bool>> is_end_told_ = std::make_shared<std::atomic<bool>>(false);
  VmiClient vmi_;
  FacilitiesClient facilities_;
  protocol::EventLoop loop_;
  BackendCallback backend_callback_;
  EventCallback event_callback_;
  std::function<void()> vmi_again_;
  wire::VmiMessage events_;  // its memory is used again
};

}  // namespace furnace::app
