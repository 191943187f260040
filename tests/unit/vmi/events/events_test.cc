// Events on the simulator, over the real socket: who is told, when the guest stands, and who undoes what.
#include <poll.h>

#include <thread>

#include "app/vmi_client.h"
#include "hypervisor/simulator/simulator.h"
#include "support.h"
#include "vmi/server.h"

namespace furnace::vmi {
namespace {

using app::Argument;
using app::VmiClient;
using furnace::test::message_of;
using furnace::test::take;
using hypervisor::RunState;

/// A task that makes a system call every so many seconds.
hypervisor::SimulatedGuest busy(double every) {
  hypervisor::SimulatedGuest guest = hypervisor::default_guest();
  hypervisor::ScriptedEvent event;
  event.kind = "syscall";
  event.pid = 307;
  event.number = 39;
  guest.timeline.push_back({0.05, every, 100'000, event});
  return guest;
}

protocol::Frames wait_for_frames(VmiClient& client) {
  zmq::pollitem_t item{client.events().handle(), 0, ZMQ_POLLIN, 0};
  EXPECT_EQ(zmq::poll(&item, 1, std::chrono::seconds(5)), 1);
  return *protocol::receive(client.events());
}

class EventServer : public ::testing::Test {
 protected:
  VmiClient connect(const std::string& app) {
    return take(VmiClient::connect(context_, directory_.path(), app));
  }
  Result<app::Value> call(VmiClient& client, std::string_view name, std::vector<Argument> arguments = {}) {
    return client.invoke(*protocol::find_call(name), arguments);
  }
  /// The next event, or nothing for a while.
  std::optional<wire::Event> next(VmiClient& client,
                                  std::chrono::milliseconds wait = std::chrono::seconds(5)) {
    zmq::pollitem_t item{client.events().handle(), 0, ZMQ_POLLIN, 0};
    if (zmq::poll(&item, 1, wait) == 0) return std::nullopt;
    wire::VmiMessage message;
    const auto frames = protocol::receive(client.events());
    EXPECT_TRUE(message.ParseFromArray(frames->back().data(), static_cast<int>(frames->back().size())));
    return message.event();
  }
  bool becomes(RunState state) {
    for (int i = 0; i < 300 && simulator_->state() != state; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    return simulator_->state() == state;
  }

  explicit EventServer(double interval = 0.005) : interval_(interval) {}

  double interval_;
  furnace::test::TemporaryDirectory directory_;
  std::unique_ptr<hypervisor::Simulator> made_ = take(hypervisor::Simulator::make(busy(interval_)));
  hypervisor::Simulator* simulator_ = made_.get();
  Machine machine_{std::move(made_), nullptr};
  zmq::context_t context_;
  ServerOptions options_{.limits = {},
                         .watchdog = std::chrono::milliseconds(300),
                         .watchdogs = {},
                         .forbidden = {},
                         .watched_writes = {},
                         .metrics = {}};
  std::unique_ptr<Server> server_ = take(Server::bind(directory_.path(), machine_, options_));
  furnace::test::Background thread_{[this](int stop) { server_->run(stop); }};
};

/// Of a guest that makes them faster than they are told one by one.
class FastEvents : public EventServer {
 protected:
  FastEvents() : EventServer(0.0005) {}
};

/// Lets the driver's own time run until the guest stands at an event.
bool comes_to_an_event(hypervisor::Simulator& simulator) {
  for (int i = 0; i < 100 && !simulator.events()->pending(); ++i) {
    pollfd item{simulator.descriptors().front(), POLLIN, 0};
    (void)::poll(&item, 1, 50);
    (void)simulator.poll();
  }
  return simulator.events()->pending();
}

TEST(SimulatedEvents, ContinueWhenThePendingWatchIsRemoved) {
  const auto simulator = take(hypervisor::Simulator::make(busy(0.005)));
  const hypervisor::Watch watch{hypervisor::EventKind::Syscall, {}, 0, 0, {}, {}};
  const uint64_t first = take(simulator->events()->watch(watch));
  ASSERT_TRUE(comes_to_an_event(*simulator));
  ASSERT_TRUE(simulator->events()->unwatch(first));
  ASSERT_TRUE(simulator->events()->watch(watch));
  EXPECT_TRUE(comes_to_an_event(*simulator));
}

TEST_F(EventServer, NotifiesEachAppOnceOfEachEvent) {
  VmiClient first = connect("first");
  VmiClient second = connect("second");
  const auto a = std::get<uint64_t>(take(call(first, "start_syscall", {uint64_t{2}})));
  const auto b = std::get<uint64_t>(take(call(second, "start_syscall", {uint64_t{2}})));
  EXPECT_NE(a, b);
  for (int i = 0; i < 20; ++i) {
    const auto event = next(first);
    ASSERT_TRUE(event);
    EXPECT_EQ(event->identifier(), a);
    EXPECT_EQ(event->pid(), 307);
    EXPECT_EQ(event->ppid(), 306);
    EXPECT_EQ(event->uid(), 1000U);
    EXPECT_EQ(event->procname(), "vim");
    EXPECT_FALSE(event->guest_paused());
    EXPECT_EQ(next(second)->identifier(), b);
  }
}

TEST_F(EventServer, OfSyncKindStopTheGuestUntilItIsResumed) {
  VmiClient client = connect("sync");
  (void)take(call(client, "start_syscall", {uint64_t{1}}));
  for (int i = 0; i < 5; ++i) {
    const auto event = next(client);
    ASSERT_TRUE(event);
    EXPECT_TRUE(event->guest_paused());
    EXPECT_EQ(simulator_->state(), RunState::Paused);
    EXPECT_FALSE(next(client, std::chrono::milliseconds(20))) << "nothing happens while the guest stands";
    (void)take(call(client, "resume_vm"));
  }
}

TEST_F(EventServer, WatchdogResumesTheGuest) {
  VmiClient client = connect("hanging");
  (void)take(call(client, "start_syscall", {uint64_t{1}}));
  ASSERT_TRUE(next(client));
  EXPECT_EQ(simulator_->state(), RunState::Paused);
  ASSERT_TRUE(next(client)) << "the next one comes when the watchdog has resumed the guest";
  (void)take(call(client, "stop_syscall"));
  EXPECT_TRUE(becomes(RunState::Running));
}

TEST_F(EventServer, AppsThatGoLeaveNoEventAndNoPause) {
  {
    VmiClient dying = connect("dying");
    (void)take(call(dying, "start_syscall", {uint64_t{1}}));
    ASSERT_TRUE(next(dying));
    EXPECT_EQ(simulator_->state(), RunState::Paused);
  }
  EXPECT_TRUE(becomes(RunState::Running));
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_EQ(simulator_->state(), RunState::Running) << "no event of it stops the guest again";
}

TEST_F(EventServer, AnAppHearsWhatWentWithTheConnectionOfItsCalls) {
  VmiClient client = connect("gives-up");
  constexpr uint64_t async = 2;
  const Argument none = std::monostate();
  const auto identifier =
      std::get<uint64_t>(take(call(client, "event_register",
                                   {uint64_t{wire::F_SYSCALL}, async, none, none, none, none, none, none,
                                    none, none, none, none, uint64_t{1}})));
  client.call_socket().set_timeout(std::chrono::milliseconds(0));
  ASSERT_FALSE(call(client, "status")) << "it waits for no answer, and its socket is another one then";
  auto notice = next(client);
  while (notice && notice->ended().empty()) notice = next(client);  // system calls that came before
  ASSERT_TRUE(notice);
  EXPECT_EQ(notice->identifier(), identifier);
  EXPECT_NE(notice->ended().find("the connection of the app's calls was lost"), std::string::npos);
}

TEST_F(EventServer, ComeOnlyBetweenStartAndStop) {
  VmiClient client = connect("cr3");
  (void)take(call(client, "start_syscall", {uint64_t{2}}));
  ASSERT_TRUE(next(client)) << "but those of system calls always";
  EXPECT_NE(message_of(call(client, "start_syscall", {uint64_t{2}})).find("already"), std::string::npos);
  (void)take(call(client, "stop_syscall"));
  while (next(client, std::chrono::milliseconds(30))) {
  }
  EXPECT_NE(message_of(call(client, "stop_syscall")).find("does not trace"), std::string::npos);
}

TEST_F(FastEvents, AreGatheredForAppsThatTakeThem) {
  VmiClient client = connect("gathers");
  VmiClient single = connect("single");
  const Argument none = std::monostate();
  std::vector<Argument> arguments(14, none);
  arguments[0] = uint64_t{wire::F_SYSCALL};
  arguments[1] = uint64_t{2};
  (void)take(call(single, "event_register", arguments));
  arguments[13] = uint64_t{1};
  (void)take(call(client, "event_register", arguments));
  const auto behind = [](VmiClient& from) {
    int most = 0;
    for (int i = 0; i < 50; ++i) {
      wire::VmiMessage message;
      const auto frames = wait_for_frames(from);
      EXPECT_TRUE(message.ParseFromArray(frames.back().data(), static_cast<int>(frames.back().size())));
      EXPECT_EQ(message.type_size(), 1);
      most = std::max(most, message.more_events_size());
    }
    return most;
  };
  EXPECT_GT(behind(client), 0);
  EXPECT_EQ(behind(single), 0);
}

TEST_F(EventServer, OfAnotherAppCanNotBeCleared) {
  VmiClient owner = connect("owner");
  VmiClient other = connect("other");
  const auto id =
      std::get<uint64_t>(take(call(owner, "event_register", {uint64_t{1}, uint64_t{2}, uint64_t{1}})));
  EXPECT_NE(message_of(call(other, "event_clear", {id})).find("this app has no event"), std::string::npos);
  EXPECT_TRUE(call(owner, "event_clear", {id}));
}

}  // namespace
}  // namespace furnace::vmi
