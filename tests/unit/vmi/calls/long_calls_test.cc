// Calls that take long, step by step and without sockets: what happens between two steps.
#include <poll.h>

#include <algorithm>
#include <set>
#include <thread>

#include "base/bytes.h"
#include "crowd.h"
#include "support.h"
#include "vmi/scheduler.h"

namespace furnace::vmi {
namespace {

using furnace::test::crowd;
using furnace::test::take;
using wire::VmiMessage;

constexpr size_t kMegabyte = 1 << 20;
constexpr size_t kRam = 32 * kMegabyte;

VmiMessage read_pa(std::initializer_list<std::pair<uint64_t, size_t>> pieces) {
  VmiMessage message;
  for (const auto& [address, count] : pieces) {
    message.add_type(VmiMessage::READ_PA);
    auto& read = *message.add_read_pa();
    read.set_paddr(address);
    read.set_count(static_cast<int32_t>(count));
  }
  return message;
}

VmiMessage process_list() {
  VmiMessage message;
  message.add_type(VmiMessage::PROCESS_LIST);
  return message;
}

VmiMessage parsed(AnswerBuffer& answer) {
  VmiMessage message;
  const auto bytes = answer.bytes();
  EXPECT_TRUE(message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())));
  return message;
}

class LongCalls : public ::testing::Test {
 protected:
  static constexpr int kTasks = 1500;

  explicit LongCalls(hypervisor::SimulatedGuest guest = crowd(kTasks))
      : machine_(take(hypervisor::Simulator::make(guest)), nullptr) {}

  [[nodiscard]] std::unique_ptr<BatchRun> begin(const VmiMessage& message) {
    const std::string body = message.SerializeAsString();
    return std::make_unique<BatchRun>(codecs_, as_bytes(body), pool_);
  }
  [[nodiscard]] bool step(BatchRun& run) {
    CallContext context{machine_, session_, pauses_, events_};
    return run.step(context, std::chrono::steady_clock::now());
  }
  /// How many steps it takes to the end.
  int finish(BatchRun& run) {
    int steps = 1;
    while (!step(run)) ++steps;
    return steps;
  }
  [[nodiscard]] std::string ram(uint64_t address, size_t count) {
    std::string bytes(count, '\0');
    bytes.resize(
        machine_.hypervisor().memory().read(guest::Gpa{address}, std::as_writable_bytes(std::span(bytes))));
    return bytes;
  }
  [[nodiscard]] Client client(const std::string& app) {
    Client made;
    made.session.identity = app + "-r";
    return made;
  }

  Machine machine_;
  Codecs codecs_;
  std::shared_ptr<BufferPool> pool_ = std::make_shared<BufferPool>();
  Pauses pauses_{machine_.hypervisor()};
  Events events_{machine_, pauses_};
  Session session_;
};

zmtp::Message sent(const VmiMessage& message) {
  const std::string body = message.SerializeAsString();
  zmtp::Message made;
  made.parts.emplace_back();
  std::ranges::copy(as_bytes(body), made.parts.emplace_back(body.size()).bytes().begin());
  return made;
}

TEST_F(LongCalls, ALargeReadIsDoneInBoundedSteps) {
  const auto run = begin(read_pa({{0, 3 * kMegabyte}, {4 * kMegabyte, 16}}));
  EXPECT_GE(finish(*run), 12);
  const VmiMessage answer = parsed(run->answer());
  ASSERT_EQ(answer.read_pa_ret_size(), 2);
  EXPECT_EQ(answer.read_pa_ret(0).status(), 0);
  EXPECT_EQ(answer.read_pa_ret(0).bytes_read(), 3 * kMegabyte);
  EXPECT_TRUE(answer.read_pa_ret(0).result() == ram(0, 3 * kMegabyte));
  EXPECT_EQ(answer.read_pa_ret(1).result(), ram(4 * kMegabyte, 16));
  EXPECT_EQ(session_.counters.calls, 2U);
  EXPECT_EQ(session_.counters.failed_calls, 0U);
}

TEST_F(LongCalls, AReadThatEndsInALaterStepHasItsBytesAndTheReason) {
  const uint64_t start = kRam - kMegabyte - 100;
  const auto run = begin(read_pa({{start, 3 * kMegabyte}, {0, 16}}));
  EXPECT_GT(finish(*run), 1);
  const VmiMessage answer = parsed(run->answer());
  ASSERT_EQ(answer.read_pa_ret_size(), 2) << "the batch continues after it";
  EXPECT_EQ(answer.read_pa_ret(0).status(), 1);
  EXPECT_EQ(answer.read_pa_ret(0).bytes_read(), kMegabyte + 100);
  EXPECT_TRUE(answer.read_pa_ret(0).result() == ram(start, kMegabyte + 100));
  EXPECT_NE(answer.read_pa_ret(0).reason().find("not all in the guest's RAM"), std::string::npos);
  EXPECT_EQ(answer.read_pa_ret(1).status(), 0);
  EXPECT_EQ(session_.counters.failed_calls, 1U);
}

TEST_F(LongCalls, AListOfManyProcessesIsReadInStepsAndComplete) {
  const auto run = begin(process_list());
  EXPECT_GT(finish(*run), 1);
  const VmiMessage answer = parsed(run->answer());
  ASSERT_EQ(answer.process_list_ret_size(), 1);
  std::set<int> pids;
  for (const auto& process : answer.process_list_ret(0).process()) pids.insert(process.pid());
  std::set<int> expected;
  for (const auto& task : crowd(kTasks).tasks) expected.insert(task.pid);
  EXPECT_EQ(pids, expected);
}

TEST_F(LongCalls, OthersAreServedBetweenTheSteps) {
  for (const VmiMessage& message : {process_list(), read_pa({{0, 4 * kMegabyte}})}) {
    Clients clients;
    clients.emplace(1, client("long"));
    clients.emplace(2, client("brief"));
    clients.at(1).waiting.push_back(sent(message));
    clients.at(2).waiting.push_back(sent(read_pa({{0, 8}})));
    Scheduler scheduler{{}};
    std::vector<std::string> answered;
    const auto context = [&](Client& each) { return CallContext{machine_, each.session, pauses_, events_}; };
    const auto answer = [&](Client& each) {
      answered.emplace_back(each.session.app());
      each.running.reset();
    };
    EXPECT_TRUE(scheduler.run(clients, codecs_, pool_, context, answer));
    EXPECT_EQ(answered, std::vector<std::string>{"brief"}) << "in the first turn";
    // Its next ones as well; the answers of one app keep their order.
    clients.at(1).waiting.push_back(sent(read_pa({{0, 8}})));
    clients.at(2).waiting.push_back(sent(read_pa({{0, 8}})));
    EXPECT_TRUE(scheduler.run(clients, codecs_, pool_, context, answer));
    EXPECT_EQ(answered, (std::vector<std::string>{"brief", "brief"}));
    EXPECT_EQ(clients.at(1).waiting.size(), 1U) << "not begun while another message is served";
    while (scheduler.run(clients, codecs_, pool_, context, answer)) {
    }
    EXPECT_EQ(answered, (std::vector<std::string>{"brief", "brief", "long", "long"}));
  }
}

TEST_F(LongCalls, ALargeListWaitsForRoom) {
  const auto run = begin(process_list());
  run->set_room(64 << 10);
  for (int i = 0; i < 10'000 && !run->wants_room(); ++i) ASSERT_FALSE(step(*run));
  ASSERT_TRUE(run->wants_room());
  EXPECT_FALSE(step(*run));
  run->set_room(kMaxAnswerBytes);
  (void)finish(*run);
  EXPECT_EQ(parsed(run->answer()).process_list_ret(0).process_size(), kTasks);
}

TEST_F(LongCalls, ACallThatNamesTheLastOfManyProcessesFindsIt) {
  const int32_t last = crowd(kTasks).tasks.back().pid;
  VmiMessage message;
  for (const int32_t pid : {last, last + 1, last}) {
    message.add_type(VmiMessage::READ_VA);
    auto& read = *message.add_read_va();
    read.set_vaddr(0x7ffff0000000);
    read.set_pid(pid);
    read.set_count(8);
  }
  const auto run = begin(message);
  (void)finish(*run);
  const VmiMessage answer = parsed(run->answer());
  ASSERT_EQ(answer.read_va_ret_size(), 3);
  EXPECT_EQ(answer.read_va_ret(0).SerializeAsString(), answer.read_va_ret(2).SerializeAsString());
  EXPECT_EQ(answer.read_va_ret(0).reason().find("no process"), std::string::npos);
  EXPECT_EQ(answer.read_va_ret(1).reason(), fmt::format("no process with pid {}", last + 1));
}

TEST_F(LongCalls, ARegistrationFindsItsProcessAmongMany) {
  const int32_t last = crowd(kTasks).tasks.back().pid;
  VmiMessage message;
  for (const int32_t pid : {last, last + 1}) {
    message.add_type(VmiMessage::EVENT_REGISTER);
    auto& registration = *message.add_event_register();
    registration.set_event_type(wire::F_SYSCALL);
    registration.set_bp_pid(static_cast<uint64_t>(pid));
  }
  const auto run = begin(message);
  (void)finish(*run);
  const VmiMessage answer = parsed(run->answer());
  ASSERT_EQ(answer.event_register_ret_size(), 2);
  EXPECT_EQ(answer.event_register_ret(0).status(), 0) << answer.event_register_ret(0).reason();
  EXPECT_EQ(answer.event_register_ret(1).reason(), fmt::format("no process with pid {}", last + 1));
  EXPECT_EQ(events_.count(session_), 1U);
  events_.forget(session_);
}

TEST_F(LongCalls, PausesAndEventsBetweenTheStepsChangeNothing) {
  const auto run = begin(process_list());
  ASSERT_FALSE(step(*run));
  Session other;
  ASSERT_TRUE(pauses_.pause(other));
  ASSERT_FALSE(machine_.poll());
  (void)step(*run);
  pauses_.release(other);
  events_.dispatch();
  (void)finish(*run);
  EXPECT_EQ(parsed(run->answer()).process_list_ret(0).process_size(), kTasks);
}

TEST_F(LongCalls, AnAppMayLeaveInTheMiddle) {
  for (const VmiMessage& message : {process_list(), read_pa({{0, 4 * kMegabyte}})}) {
    auto run = begin(message);
    ASSERT_FALSE(step(*run));
    EXPECT_TRUE(run->in_long_call());
    run.reset();  // what it holds goes with it
  }
}

/// That is reset soon.
class LongCallsAndReset : public LongCalls {
 protected:
  static hypervisor::SimulatedGuest restarting() {
    hypervisor::SimulatedGuest guest = crowd(kTasks);
    guest.timeline.push_back({0.001, 0, 1, hypervisor::Change(hypervisor::Reset{})});
    return guest;
  }
  LongCallsAndReset() : LongCalls(restarting()) {}

  void wait_for_reset() {
    for (int i = 0; i < 1000 && machine_.resets() == 0; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      ASSERT_FALSE(machine_.poll());
    }
    ASSERT_EQ(machine_.resets(), 1U);
  }
};

TEST_F(LongCallsAndReset, ACallNeverMixesTwoGuests) {
  VmiMessage list = process_list();
  list.MergeFrom(read_pa({{0, 16}}));
  VmiMessage read = read_pa({{0, 4 * kMegabyte}, {0, 16}});
  const auto listing = begin(list);
  const auto reading = begin(read);
  ASSERT_FALSE(step(*listing));
  ASSERT_FALSE(step(*reading));
  wait_for_reset();
  (void)finish(*listing);
  (void)finish(*reading);
  const VmiMessage listed = parsed(listing->answer());
  EXPECT_EQ(listed.process_list_ret(0).status(), 1);
  EXPECT_EQ(listed.process_list_ret(0).process_size(), 0);
  EXPECT_NE(listed.process_list_ret(0).reason().find("was reset"), std::string::npos);
  EXPECT_EQ(listed.read_pa_ret(0).status(), 0) << "the calls after it are of the new guest";
  const VmiMessage was_read = parsed(reading->answer());
  EXPECT_EQ(was_read.read_pa_ret(0).status(), 1);
  EXPECT_EQ(was_read.read_pa_ret(0).result(), "");
  EXPECT_NE(was_read.read_pa_ret(0).reason().find("was reset"), std::string::npos);
  EXPECT_EQ(was_read.read_pa_ret(1).status(), 0);
  const auto again = begin(process_list());
  (void)finish(*again);
  EXPECT_EQ(parsed(again->answer()).process_list_ret(0).process_size(), kTasks);
}

}  // namespace
}  // namespace furnace::vmi
