// What a socket for apps takes of whom, and what it refuses.
#include "zmtp/server.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <thread>

#include "base/bytes.h"
#include "support.h"

namespace furnace::zmtp {
namespace {

using furnace::test::take;

std::string part(size_t size, bool more = false) {
  std::string bytes;
  put_header(bytes, size, more);
  return bytes;
}

/// Bytes to the server and from it.
class Raw {
 public:
  explicit Raw(const std::string& path) : socket_(take(connect_unix(path))) {}
  void send(std::string_view bytes) {
    ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  }
  void introduce(std::string_view identity) {
    const auto size = static_cast<char>(identity.size());
    const std::string data = std::string("\5READY\x0bSocket-Type\0\0\0\6DEALER\x08Identity\0\0\0", 40) + size;
    std::string frame;
    put_header(frame, data.size() + identity.size(), false, true);
    send(greeting() + frame + data + std::string(identity));
  }
  /// All that has come; "closed" behind it where the server has ended it.
  std::string heard() {
    std::string all(1 << 20, '\0');
    size_t size = 0;
    while (true) {
      const ssize_t got = ::recv(socket_.get(), all.data() + size, all.size() - size, MSG_DONTWAIT);
      if (got > 0) size += static_cast<size_t>(got);
      if (got < 0) return all.substr(0, size);
      if (got == 0) return all.substr(0, size) + "closed";
    }
  }
  [[nodiscard]] bool is_closed() { return heard().ends_with("closed"); }

 private:
  Fd socket_;
};

class Sockets : public ::testing::Test {
 protected:
  void serve(const Server::Limits& limits, const Server::Room& room = {}) {
    Handlers handlers;
    handlers.message = [this](const Peer& peer, Message message) {
      came_.push_back(peer.identity);
      kept_.push_back(std::move(message));
    };
    handlers.left = [this](const Peer& peer) { left_.push_back(peer.identity); };
    server_ = take(Server::make(limits, std::move(handlers)));
    place_ = take(server_->listen(path_, Kind::Router, room));
  }
  void turns(int count = 20) {
    for (int i = 0; i < count; ++i) server_->turn();
  }
  Raw app(std::string_view identity) {
    Raw made(path_);
    made.introduce(identity);
    turns();
    return made;
  }

  furnace::test::TemporaryDirectory directory_;
  const std::string path_ = directory_.path() / "rtr";
  std::unique_ptr<Server> server_;
  size_t place_ = 0;
  std::vector<std::string> came_, left_;
  std::vector<Message> kept_;
};

TEST_F(Sockets, ASecondOneOfALivingIdentityIsReportedAndTheFirstIsUnharmed) {
  serve({});
  Raw first = app("x-r");
  Raw second = app("x-r");
  const std::string said = second.heard();
  EXPECT_NE(said.find(fmt::format("app 'x-r' is connected already (pid {})", ::getpid())), std::string::npos);
  EXPECT_TRUE(said.ends_with("closed"));
  (void)first.heard();
  EXPECT_TRUE(server_->send(place_, "x-r", {"for the first"}));
  EXPECT_NE(first.heard().find("for the first"), std::string::npos);
}

TEST_F(Sockets, APeerThatWasKilledReturnsAtOnce) {
  serve({});
  {
    Raw first(path_);
    first.introduce("x-r");
    turns();
  }
  Raw second(path_);
  second.introduce("x-r");
  turns();
  EXPECT_EQ(left_, std::vector<std::string>{"x-r"});
  EXPECT_FALSE(second.is_closed());
  EXPECT_TRUE(server_->send(place_, "x-r", {"again"}));
}

TEST_F(Sockets, MoreConnectionsThanThereIsRoomForWait) {
  serve({}, {2, 2});
  auto first = std::make_unique<Raw>(app("a"));
  Raw second = app("b");
  Raw third = app("c");
  EXPECT_EQ(server_->connections(), 2U);
  EXPECT_EQ(third.heard(), "");
  first.reset();
  turns();
  EXPECT_NE(third.heard().find("READY"), std::string::npos);
}

TEST_F(Sockets, LargeMessagesShareABudgetAndSmallOnesPass) {
  serve({.large = 150'000, .small = 1 << 20, .small_each = 1000});
  Raw holder = app("holder"), other = app("other"), third = app("third");
  holder.send(part(100'000) + std::string(10, 'x'));
  turns();
  other.send(part(100'000) + std::string(100'000, 'y'));
  third.send(part(1000) + std::string(1000, 'z'));
  turns();
  EXPECT_EQ(came_, std::vector<std::string>{"third"}) << "the other waits in the kernel";
  holder.send(std::string(99'990, 'x'));
  turns(40);
  EXPECT_EQ(came_, (std::vector<std::string>{"third", "holder"}));
  kept_.clear();  // done with
  turns(40);
  EXPECT_EQ(came_.back(), "other");
}

TEST_F(Sockets, WhoHoldsRoomWithoutProgressIsClosed) {
  serve({.large = 150'000,
         .small = 1 << 20,
         .small_each = 1000,
         .unread = 1000,
         .time = std::chrono::milliseconds(300)});
  Raw holder = app("holder"), stranger(path_), quiet = app("quiet");
  holder.send(part(100'000) + std::string(10, 'x'));
  for (int i = 0; i < 8; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    turns(2);
  }
  EXPECT_TRUE(holder.is_closed());
  EXPECT_TRUE(stranger.is_closed()) << "no handshake";
  EXPECT_FALSE(quiet.is_closed()) << "owes nothing";
}

TEST_F(Sockets, WhoDoesNotReadIsNotReadFrom) {
  serve({});
  Raw app = this->app("x");
  EXPECT_TRUE(server_->send(place_, "x", {std::string(4 << 20, 'x')}));
  app.send(part(1) + "a");
  turns();
  EXPECT_TRUE(came_.empty());
  EXPECT_FALSE(server_->send(place_, "x", {"one more"}, 1 << 20)) << "lost, and known to be";
  for (int i = 0; i < 200 && came_.empty(); ++i) {
    (void)app.heard();
    turns(2);
  }
  EXPECT_EQ(came_, std::vector<std::string>{"x"});
}

TEST_F(Sockets, WhatIsNoZmtpIsClosed) {
  serve({});
  for (const std::string& bytes :
       {std::string("GET / HTTP/1.1"), greeting() + part(5) + "hello", greeting() + "\xf0"}) {
    Raw stranger(path_);
    stranger.send(bytes);
    turns();
    EXPECT_TRUE(stranger.is_closed()) << printable(bytes);
  }
  EXPECT_EQ(server_->connections(), 0U);
  EXPECT_TRUE(came_.empty());
}

TEST_F(Sockets, PingIsAnswered) {
  serve({});
  Raw app = this->app("x");
  app.send(std::string_view("\4\x0a\4PING\0\0ctx", 12));
  turns();
  EXPECT_NE(app.heard().find("PONGctx"), std::string::npos);
}

}  // namespace
}  // namespace furnace::zmtp
