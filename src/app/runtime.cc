#include "app/runtime.h"

#include <cstdlib>

#include "base/log.h"

namespace furnace::app {
namespace {

Presence::Description vmi_presence(const Options& options) {
  const auto limit = options.wait_for_vm;
  return {"VMI partition",
          options.vmi + "/vmi_rtr",
          limit.count() == 0
              ? "the app waits for one (--wait-for-vm 0)"
              : fmt::format("the app ends if none serves there within {} s (--wait-for-vm)", limit.count()),
          "start one there (furnace vmi), or let the app wait longer (--wait-for-vm SECONDS; 0: no limit)",
          limit,
          true};
}

Presence::Description facilities_presence(const Options& options) {
  constexpr std::chrono::seconds limit(30);
  return {"FAC partition",
          options.facilities + "/fac_rtr",
          fmt::format("what was sent waits for one, and after {} s no more is taken", limit.count()),
          "start one there (furnace fac)",
          limit,
          false};
}

}  // namespace

Runtime::Runtime(const Options& options, MessageCounter counter, std::unique_ptr<PresenceWatch> watch,
                 VmiClient vmi, FacilitiesClient facilities)
    : counter_(std::move(counter)),
      vmi_presence_(vmi_presence(options)),
      facilities_presence_(facilities_presence(options)),
      watch_(std::move(watch)),
      vmi_(std::move(vmi)),
      facilities_(std::move(facilities)) {
  vmi_.call_socket().set_counter(&counter_);
  facilities_.call_socket().set_counter(&counter_);
  vmi_.call_socket().set_presence(&vmi_presence_);
  facilities_.set_presence(&facilities_presence_);
  watch_->add(vmi_presence_, vmi_.take_monitor());
  watch_->add(facilities_presence_, facilities_.take_monitor());
}

Result<std::unique_ptr<Runtime>> Runtime::start(zmq::context_t& context, const Options& options) {
  FURNACE_TRY(VmiClient vmi, VmiClient::connect(context, options.vmi, options.app));
  FURNACE_TRY(FacilitiesClient facilities,
              FacilitiesClient::connect(context, options.facilities, options.app));
  FURNACE_TRY(MessageCounter counter, MessageCounter::open(options.counter));
  FURNACE_TRY(auto watch, PresenceWatch::make());
  std::unique_ptr<Runtime> runtime(
      new Runtime(options, std::move(counter), std::move(watch), std::move(vmi), std::move(facilities)));
  FURNACE_CHECK(runtime->watch_sockets());
  return runtime;
}

Status Runtime::watch_sockets() {
  loop_.watch(vmi_.events(), [this] { deliver_events(); });
  loop_.watch(facilities_.messages(), [this] { deliver(From::Notify); });
  loop_.watch([this] { return facilities_.has_notification(); }, [this] { deliver(From::Notify); });
  loop_.watch(facilities_.broadcasts(), [this] { deliver(From::Broadcast); });
  return loop_.take_posts();  // the watch of partitions ends the loop from its thread
}

void Runtime::watch_partitions(std::function<void()> on_end) {
  PresenceWatch::Handlers handlers;
  handlers.back = [this] {
    loop_.post([this] {
      if (vmi_again_) vmi_again_();
    });
  };
  handlers.gone = [this, on_end = std::move(on_end)] {
    loop_.stop();
    on_end();
  };
  handlers.overdue = [this] {
    log::error("{}; the app did not end by itself within {} s", end()->message(),
               PresenceWatch::kTimeToEnd.count());
    std::_Exit(kEndedForGone);
  };
  watch_->start(std::move(handlers));
}

void Runtime::on_backend_message(BackendCallback callback) {
  backend_callback_ = std::move(callback);
}

void Runtime::deliver(From from) {
  constexpr int per_turn = 64;  // so that a flood of messages leaves time for timers
  for (int i = 0; i < per_turn && !loop_.stopped(); ++i) {
    const auto message =
        from == From::Notify ? facilities_.take_notification() : facilities_.take_broadcast();
    if (!message) return;
    if (backend_callback_) {
      backend_callback_(from, *message);
    } else {
      log::debug("a message of the backend found no callback");
    }
  }
}

void Runtime::deliver_events() {
  constexpr int per_turn = 64;  // messages, so that a flood of events leaves time for timers
  for (int i = 0; i < per_turn && !loop_.stopped(); ++i) {
    const auto frames = protocol::receive(vmi_.events());
    if (!frames) return;
    counter_.add();
    const auto& body = frames->back();
    if (!events_.ParseFromArray(body.data(), static_cast<int>(body.size())) || !events_.has_event()) continue;
    if (!event_callback_) continue;
    deliver_event(events_.event());
    for (const wire::Event& event : events_.more_events())
      if (!loop_.stopped()) deliver_event(event);
  }
}

void Runtime::deliver_event(const wire::Event& event) {
  facilities_.set_trace({event.trace_high(), event.trace_low()});
  event_callback_(event);
  facilities_.set_trace({});
}

}  // namespace furnace::app
