#include "app/runtime.h"

#include "base/log.h"

namespace furnace::app {

Result<std::unique_ptr<Runtime>> Runtime::start(zmq::context_t& context, const Options& options) {
  FURNACE_TRY(VmiClient vmi, VmiClient::connect(context, options.vmi, options.app));
  FURNACE_TRY(FacilitiesClient facilities,
              FacilitiesClient::connect(context, options.facilities, options.app));
  FURNACE_TRY(MessageCounter counter, MessageCounter::open(options.counter));
  std::unique_ptr<Runtime> runtime(new Runtime(std::move(counter), std::move(vmi), std::move(facilities)));
  runtime->watch_sockets();
  return runtime;
}

void Runtime::watch_sockets() {
  loop_.watch(vmi_.events(), [this] { deliver_events(); });
  loop_.watch(facilities_.messages(), [this] { deliver(From::Notify); });
  loop_.watch([this] { return facilities_.has_notification(); }, [this] { deliver(From::Notify); });
  loop_.watch(facilities_.broadcasts(), [this] { deliver(From::Broadcast); });
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
