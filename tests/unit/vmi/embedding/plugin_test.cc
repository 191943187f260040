// DRAKVUF's plugin with a DRAKVUF made of the simulator: calls come in at vmi_rtr as everywhere, and traps
// become events.
#include <sys/inotify.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "../../../fake_drakvuf/fake.h"
#include "app/vmi_client.h"
#include "guest/profile/export.h"
#include "hypervisor/simulator/simulator.h"
#include "support.h"

namespace furnace {
namespace {

using app::Argument;
using app::VmiClient;
using furnace::test::message_of;
using furnace::test::take;
using guest::ProfileFormat;
using hypervisor::RunState;

constexpr uint64_t kSync = wire::F_SYNC, kAsync = wire::F_ASYNC;

class DrakvufPlugin : public ::testing::Test {
 protected:
  DrakvufPlugin() {
    ::setenv("FURNACE_VMI_DIR", (directory_.path() / "vmi").c_str(), 1);
    ::unsetenv("FURNACE_PROFILE");
  }
  [[nodiscard]] std::string profile(ProfileFormat format) const {
    return take(guest::export_profile(simulator_->kernel()->profile(), format));
  }
  /// DRAKVUF with a profile given with -r.
  void load(std::string json) { drakvuf_.emplace(*simulator_, std::move(json)); }
  void start() {
    if (!drakvuf_) load(profile(ProfileFormat::Rekall));
    ASSERT_TRUE(drakvuf_->start());
    client_.emplace(connect("unit-app"));
  }
  VmiClient connect(const std::string& app) {
    return take(VmiClient::connect(context_, directory_.path() / "vmi", app));
  }
  Result<app::Value> call(std::string_view name, std::vector<Argument> arguments = {}) {
    return client_->invoke(*protocol::find_call(name), arguments);
  }
  uint64_t number(std::string_view name, std::vector<Argument> arguments = {}) {
    return std::get<uint64_t>(take(call(name, std::move(arguments))));
  }
  Result<app::Value> watch_memory(uint64_t gva, uint64_t length, uint64_t access) {
    const Argument none;
    return call("event_register", {uint64_t{wire::F_EPT}, kAsync, none, none, none, "", gva, length, access});
  }
  Result<app::Value> watch_execution(uint64_t gva, uint64_t sync = kAsync) {
    return call("event_register", {uint64_t{wire::F_INT}, sync, Argument{}, gva, uint64_t{0}});
  }
  std::optional<wire::Event> next(std::chrono::milliseconds wait = std::chrono::seconds(5)) {
    zmq::pollitem_t item{client_->events().handle(), 0, ZMQ_POLLIN, 0};
    if (zmq::poll(&item, 1, wait) == 0) return std::nullopt;
    wire::VmiMessage message;
    const auto frames = protocol::receive(client_->events());
    EXPECT_TRUE(message.ParseFromArray(frames->back().data(), static_cast<int>(frames->back().size())));
    return message.event();
  }
  bool becomes(RunState state) {
    for (int i = 0; i < 300 && simulator_->state() != state; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    return simulator_->state() == state;
  }
  bool traps_become(size_t count) {
    for (int i = 0; i < 300 && drakvuf_->traps() != count; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    return drakvuf_->traps() == count;
  }

  furnace::test::TemporaryDirectory directory_;
  std::unique_ptr<hypervisor::Simulator> simulator_ =
      take(hypervisor::Simulator::make(hypervisor::default_guest()));
  zmq::context_t context_;
  std::optional<drakvuf> drakvuf_;
  std::optional<VmiClient> client_;
};

TEST_F(DrakvufPlugin, ReportsAtTheFirstTurnOfTheLoopThatItHasStarted) {
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(directory_.path());
  std::ofstream("ESTABLISHED").close();
  const int opened = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  ASSERT_NE(::inotify_add_watch(opened, "ESTABLISHED", IN_OPEN), -1);
  load(profile(ProfileFormat::Rekall));
  inotify_event event{};
  EXPECT_EQ(::read(opened, &event, sizeof event), -1);
  start();
  (void)number("lookup_symbol", {"furnace_variable"});
  EXPECT_EQ(::read(opened, &event, sizeof event), static_cast<ssize_t>(sizeof event));
  (void)number("lookup_symbol", {"furnace_variable"});
  EXPECT_EQ(::read(opened, &event, sizeof event), -1) << "once";
  ::close(opened);
  std::filesystem::current_path(before);
}

TEST_F(DrakvufPlugin, ServesCallsWithTheProfileThatDrakvufWasStartedWith) {
  for (const ProfileFormat format : {ProfileFormat::Rekall, ProfileFormat::Isf}) {
    load(profile(format));
    start();
    const uint64_t gva = number("lookup_symbol", {"furnace_variable"});
    EXPECT_EQ(number("read_64_va", {gva, uint64_t{0}}), 0x1122334455667788U);
    (void)take(call("write_64_va", {gva, uint64_t{0}, uint64_t{42}}));
    EXPECT_EQ(number("read_64_ksym", {"furnace_variable"}), 42U);
    (void)take(call("write_64_va", {gva, uint64_t{0}, uint64_t{0x1122334455667788}}));
    const auto processes = take(client_->process_list());
    EXPECT_GT(processes.size(), 3U);
    EXPECT_EQ(std::get<std::string>(take(call("get_name"))), "simulator");
    EXPECT_EQ(number("get_vmid"), 1U);
    EXPECT_EQ(number("get_vcpureg", {"cr3", uint64_t{0}}),
              *(*simulator_->registers(0))->get(hypervisor::Reg::Cr3));
    client_.reset();
  }
}

TEST_F(DrakvufPlugin, TakesAProfileOfAnyFormFromAFile) {
  const std::string file = directory_.path() / "kernel.profile";
  std::ofstream(file) << profile(ProfileFormat::Furnace);
  ::setenv("FURNACE_PROFILE", file.c_str(), 1);
  load("");
  start();
  EXPECT_EQ(number("read_64_ksym", {"furnace_variable"}), 0x1122334455667788U);
}

TEST_F(DrakvufPlugin, DoesNotStartWithAProfileThatIsNone) {
  load("{\"no\": \"profile\"}");
  testing::internal::CaptureStderr();
  EXPECT_FALSE(drakvuf_->start());
  EXPECT_NE(testing::internal::GetCapturedStderr().find("furnace: DRAKVUF's profile: "), std::string::npos);
}

TEST_F(DrakvufPlugin, ReportsWithEachCallThatAProfileIsOfAnotherKernel) {
  hypervisor::SimulatedGuest other = hypervisor::default_guest();
  other.banner = "Linux version 6.1.0-another-one (furnace@simulator) #1 SMP PREEMPT_DYNAMIC";
  load(take(guest::export_profile(take(hypervisor::Simulator::make(other))->kernel()->profile(),
                                  ProfileFormat::Isf)));
  start();
  const std::string why = message_of(call("read_64_ksym", {"furnace_variable"}));
  EXPECT_NE(why.find("6.1.0-another-one"), std::string::npos) << why;
  EXPECT_NE(why.find("6.1.0-furnace-simulator"), std::string::npos) << why;
}

TEST_F(DrakvufPlugin, ServesManyAppsAtOnce) {
  start();
  std::vector<std::thread> apps;
  std::atomic<int> right = 0;
  for (int app = 0; app < 4; ++app)
    apps.emplace_back([&, app] {
      VmiClient client = connect(fmt::format("app-{}", app));
      const std::vector<Argument> arguments{"furnace_variable"};
      for (int i = 0; i < 200; ++i) {
        const auto read = client.invoke(*protocol::find_call("read_64_ksym"), arguments);
        right += read && std::get<uint64_t>(*read) == 0x1122334455667788U ? 1 : 0;
      }
    });
  for (std::thread& app : apps) app.join();
  EXPECT_EQ(right, 800);
}

TEST_F(DrakvufPlugin, ReportsWritesOfCr3) {
  start();
  (void)take(call("event_register", {uint64_t{wire::F_REG}, kAsync, uint64_t{wire::F_CR3}}));
  (void)take(call("events_start"));
  EXPECT_EQ(drakvuf_->traps(), 1U);
  EXPECT_EQ(drakvuf_->write_cr3(0x1234000), 1U);
  const auto event = next();
  ASSERT_TRUE(event);
  EXPECT_EQ(event->cr3(), 0x1234000U);
}

TEST_F(DrakvufPlugin, ReportsBreakpointsAndPausesTheGuestForSyncEvents) {
  start();
  const uint64_t gva = number("lookup_symbol", {"furnace_variable"});
  (void)take(watch_execution(gva, kSync));
  (void)take(call("events_start"));
  EXPECT_EQ(drakvuf_->execute(number("translate_kv2p", {gva})), 1U);
  EXPECT_EQ(simulator_->state(), RunState::Paused);  // before DRAKVUF's callback has returned
  const auto event = next();
  ASSERT_TRUE(event);
  EXPECT_TRUE(event->guest_paused());
  (void)take(call("resume_vm"));
  EXPECT_TRUE(becomes(RunState::Running));
}

TEST_F(DrakvufPlugin, ResumesTheGuestWhenAnAppDoesNot) {
  start();
  const uint64_t gva = number("lookup_symbol", {"furnace_variable"});
  (void)take(watch_execution(gva, kSync));
  (void)take(call("events_start"));
  drakvuf_->execute(number("translate_kv2p", {gva}));
  EXPECT_TRUE(becomes(RunState::Paused));
  EXPECT_TRUE(becomes(RunState::Running));  // the watchdog, by our own descriptor alone
}

TEST_F(DrakvufPlugin, ReportsAccessesToWatchedBytesAndTheirKinds) {
  start();
  const uint64_t gva = number("lookup_symbol", {"furnace_variable"});
  const uint64_t gpa = number("translate_kv2p", {gva});
  (void)take(watch_memory(gva, 8, 3));
  (void)take(call("events_start"));
  EXPECT_EQ(drakvuf_->traps(), 2U);
  drakvuf_->access(gpa + 4, 2);
  auto event = next();
  ASSERT_TRUE(event);
  EXPECT_EQ(event->address(), gva + 4);
  EXPECT_EQ(event->access(), 2U);
  drakvuf_->access(gpa, 1);
  event = next();
  ASSERT_TRUE(event);
  EXPECT_EQ(event->access(), 1U);
  drakvuf_->access(gpa + 8, 2);
  EXPECT_FALSE(next(std::chrono::milliseconds(100)));
}

TEST_F(DrakvufPlugin, RestrictsWritingToSeeReadsAndReportsOnlyReads) {
  start();
  const uint64_t gva = number("lookup_symbol", {"furnace_variable"});
  const uint64_t gpa = number("translate_kv2p", {gva});
  (void)take(watch_memory(gva, 8, 1));
  (void)take(call("events_start"));
  EXPECT_EQ(drakvuf_->access(gpa, 2), 1U);  // EPT has no page that may be written and not read
  EXPECT_FALSE(next(std::chrono::milliseconds(100)));
  drakvuf_->access(gpa, 1);
  EXPECT_TRUE(next());
}

TEST_F(DrakvufPlugin, WatchesEachPageOfAWatchThatCrossesOne) {
  start();
  const uint64_t gva = number("lookup_symbol", {"furnace_variable"}) / 4096 * 4096 + 4090;
  (void)take(watch_memory(gva, 12, 2));
  (void)take(call("events_start"));
  EXPECT_EQ(drakvuf_->traps(), 2U);
  drakvuf_->access(number("translate_kv2p", {gva + 8}), 2);
  const auto event = next();
  ASSERT_TRUE(event);
  EXPECT_EQ(event->address(), gva + 8);
}

TEST_F(DrakvufPlugin, ReportsThatDrakvufRefusesATrap) {
  start();
  drakvuf_->refuse_traps = true;
  const uint64_t gva = number("lookup_symbol", {"furnace_variable"});
  EXPECT_NE(message_of(watch_execution(gva)).find("DRAKVUF refuses a trap"), std::string::npos);
  drakvuf_->refuse_traps = false;
  EXPECT_TRUE(watch_execution(gva));
}

TEST_F(DrakvufPlugin, RemovesTrapsOfAppsThatExitAndAllWhenItStops) {
  start();
  const uint64_t gva = number("lookup_symbol", {"furnace_variable"});
  (void)take(watch_execution(gva));
  {
    VmiClient other = connect("other-app");
    const std::vector<Argument> arguments{uint64_t{wire::F_REG}, kAsync, uint64_t{wire::F_CR3}};
    (void)take(other.invoke(*protocol::find_call("event_register"), arguments));
    EXPECT_EQ(drakvuf_->traps(), 2U);
  }
  EXPECT_TRUE(traps_become(1));
  (void)take(call("pause_vm"));
  EXPECT_EQ(simulator_->state(), RunState::Paused);
  drakvuf_->stop();
  EXPECT_EQ(drakvuf_->traps(), 0U);
  EXPECT_EQ(simulator_->state(), RunState::Running);
  EXPECT_EQ(drakvuf_->pauses(), 0);
}

}  // namespace
}  // namespace furnace
