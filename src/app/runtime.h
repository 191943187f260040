// An app's process: its clients, its loop, and what happens on them.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "app/facilities_client.h"
#include "app/vmi_client.h"
#include "base/result.h"
#include "protocol/event_loop.h"

namespace furnace::app {

struct Options {
  std::string app;  ///< the app's id
  // Inside a partition the sockets lie here (wire.md section 6).
  std::string vmi = "/opt/furnace/vmi_socket";         ///< directory of vmi_rtr
  std::string facilities = "/opt/furnace/fac_socket";  ///< directory of fac_rtr and fac_pub
  int counter = -1;                                    ///< descriptor of a MessageCounter
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

  [[nodiscard]] VmiClient& vmi() { return vmi_; }
  [[nodiscard]] FacilitiesClient& facilities() { return facilities_; }
  [[nodiscard]] protocol::EventLoop& loop() { return loop_; }

  /// Who gets the messages of the backend. Replaces the one before; an empty one: nobody.
  void on_backend_message(BackendCallback callback);
  void on_event(EventCallback callback) { event_callback_ = std::move(callback); }

 private:
  Runtime(MessageCounter counter, VmiClient vmi, FacilitiesClient facilities)
      : counter_(std::move(counter)), vmi_(std::move(vmi)), facilities_(std::move(facilities)) {
    vmi_.calls().set_counter(&counter_);
    facilities_.calls().set_counter(&counter_);
  }
  void watch_sockets();
  void deliver(From from);
  void deliver_events();
  void deliver_event(const wire::Event& event);

  MessageCounter counter_;
  VmiClient vmi_;
  FacilitiesClient facilities_;
  protocol::EventLoop loop_;
  BackendCallback backend_callback_;
  EventCallback event_callback_;
  wire::VmiMessage events_;  // its memory is used again
};

}  // namespace furnace::app
