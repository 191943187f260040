#include "hypervisor/qemu/brokered.h"

#include <thread>

#include "hypervisor/qemu/qmp.h"
#include "support.h"

namespace furnace::hypervisor {
namespace {

using broker::Ask;
using broker::News;

/// A driver without a QEMU, and the broker's ends of its connections.
class Brokered : public testing::Test {
 protected:
  Brokered() {
    auto requests = *broker::connection();
    auto news = *broker::connection();
    requests_ = std::move(requests.first);
    news_ = std::move(news.first);
    const auto link = std::make_shared<const broker::Link>(std::move(requests.second), "vm", "nothing");
    control_ = std::make_unique<BrokeredControl>(link, std::move(news.second), QemuSetup{}, nullptr);
  }

  void tell(News what) {
    broker::Answer told;
    told.number = static_cast<uint64_t>(what);
    ASSERT_TRUE(broker::send_message(news_, broker::bytes_of(told), {}));
  }

  /// What `poll` says when the broker answers with this notice and state.
  std::vector<Notice> poll(Notice notice, RunState state) {
    std::thread broker([&] {
      broker::Room room;
      broker::Request request;
      ASSERT_TRUE(room.receive(requests_, broker::bytes_of(request)));
      EXPECT_EQ(request.ask, Ask::Poll);
      broker::Answer answer;
      answer.state = state;
      std::vector<std::byte> items;
      broker::add(items, answer, static_cast<uint8_t>(notice));
      ASSERT_TRUE(broker::send_message(requests_, broker::bytes_of(answer), items));
    });
    auto notices = control_->poll();
    broker.join();
    return notices;
  }

  Fd requests_, news_;
  std::unique_ptr<BrokeredControl> control_;
};

TEST_F(Brokered, AskedToLookWhileItTakesAStopItHasANotice) {
  tell(News::Look);
  ASSERT_TRUE(control_->take_stop());
  EXPECT_TRUE(control_->has_notice());
  EXPECT_EQ(poll(Notice::Unguarded, RunState::Running), std::vector{Notice::Unguarded});
  EXPECT_FALSE(control_->has_notice());
}

TEST_F(Brokered, TheEndOfTheVmIsReportedAlsoAfterAnAnswerHasTheState) {
  std::thread broker([&] {
    broker::Room room;
    broker::Request request;
    ASSERT_TRUE(room.receive(requests_, broker::bytes_of(request)));
    tell(News::Look);
    broker::Answer answer = broker::failed({Errc::Unavailable, "it has exited"});
    answer.state = RunState::Gone;
    ASSERT_TRUE(broker::send_message(requests_, broker::bytes_of(answer), {}));
    request = {};
    ASSERT_TRUE(room.receive(requests_, broker::bytes_of(request)));
    answer.failed = 0;
    ASSERT_TRUE(broker::send_message(requests_, broker::bytes_of(answer), {}));
  });
  EXPECT_FALSE(control_->pause());
  EXPECT_TRUE(control_->resume());
  broker.join();
  EXPECT_EQ(control_->state(), RunState::Gone);
  EXPECT_FALSE(control_->descriptors().empty());
  EXPECT_EQ(poll(Notice::Gone, RunState::Gone), std::vector{Notice::Gone});
  EXPECT_TRUE(control_->descriptors().empty());
}

TEST(Qmp, AnEventThatCameWithAnAnswerIsThereToTake) {
  auto ends = *socket_pair();
  Qmp qmp = Qmp::from(std::move(ends.first), "qmp");
  const std::string said = R"({"event": "RESET", "data": {}})"
                           "\r\n"
                           R"({"return": {}})"
                           "\r\n"
                           R"({"event": "STOP", "data": {}})"
                           "\r\n";
  ASSERT_TRUE(send_with(ends.second, said, -1));
  EXPECT_FALSE(qmp.has_events());
  ASSERT_TRUE(qmp.command("cont"));
  EXPECT_TRUE(qmp.has_events());
  EXPECT_EQ(qmp.take_events(), (std::vector<std::string>{"RESET", "STOP"}));
  EXPECT_FALSE(qmp.has_events());
}

}  // namespace
}  // namespace furnace::hypervisor
