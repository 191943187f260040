// Routes, and what a blind one does with the connections on it.
#include "proxy/proxy.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <random>
#include <thread>

#include "protocol/greeting.h"
#include "proxy/rate.h"
#include "support.h"

namespace furnace::proxy {
namespace {

using furnace::test::message_of;
using furnace::test::take;
using protocol::kBeforeReady;
using protocol::kMostBeforeReady;

TEST(Routes, AreReadFromToml) {
  const auto routes = take(parse_routes(R"(
[[route]]
app = "one-app"
listen = "127.0.0.1:6001"
backend = "[::1]:7001"
connections = 8
bytes_per_second = 1000000
idle_seconds = 60
[[route]]
app = "two-app"
mode = "message"
listen = "127.0.0.1:6003"
backend = "backend.example:7001"
app_key = "two-app/app.key"
backend_key = "/keys/be.key"
)",
                                        "/etc/furnace/routes.toml"));
  ASSERT_EQ(routes.size(), 2U);
  EXPECT_TRUE(routes[0].blind);
  EXPECT_EQ(routes[0].outside.host, "::1");
  EXPECT_EQ(to_text(routes[0].outside), "[::1]:7001");
  EXPECT_EQ(routes[0].limits.idle, std::chrono::seconds(60));
  EXPECT_FALSE(routes[1].blind);
  EXPECT_EQ(routes[1].app_key, "/etc/furnace/two-app/app.key");
  EXPECT_EQ(routes[1].backend_key, "/keys/be.key");
}

TEST(Routes, ThatAreWrongAreNamedWithTheirLine) {
  const auto error = [](const std::string& body) {
    return message_of(parse_routes("[[route]]\n" + body, "routes.toml"));
  };
  EXPECT_NE(error("app = \"a\"\nlisten = \"127.0.0.1\"\nbackend = \"x:1\"").find("routes.toml:1: 'listen'"),
            std::string::npos);
  EXPECT_NE(error("app = \"a b\"\nlisten = \"h:1\"\nbackend = \"x:1\"").find("'app'"), std::string::npos);
  EXPECT_NE(
      error("app = \"a\"\nlisten = \"h:1\"\nbackend = \"x:1\"\nmode = \"message\"").find("needs 'app_key'"),
      std::string::npos);
  EXPECT_NE(error("app = \"a\"\nlisten = \"h:1\"\nbackend = \"x:1\"\napp_key = \"k\"").find("needs no keys"),
            std::string::npos);
  EXPECT_NE(error("app = \"a\"\nlisten = \"h:1\"\nbackend = \"x:1\"\nconection = 1")
                .find("unknown key 'conection'"),
            std::string::npos);
  EXPECT_NE(error("app = \"a\"\nlisten = \"h:65535\"\nbackend = \"x:1\"").find("1 to 65534"),
            std::string::npos);
  EXPECT_NE(error("app = \"a\"\nlisten = \"h:1\"\nbackend = \"x:1\"\nmode = \"message\"\napp_key = \"k\"\n"
                  "backend_key = \"b\"\nhandshake_seconds = 5")
                .find("'handshake_seconds' is a limit of blind routes"),
            std::string::npos);
  const std::string good = "app = \"a\"\nlisten = \"h:1\"\nbackend = \"x:1\"\n";
  EXPECT_NE(error(good + "[[route]]\napp = \"b\"\nlisten = \"h:2\"\nbackend = \"x:1\"")
                .find("another route uses h:2"),
            std::string::npos);
  EXPECT_NE(error(good + "[[route]]\napp = \"a\"\nlisten = \"h:5\"\nbackend = \"x:1\"")
                .find("a route of app 'a' already"),
            std::string::npos);
}

TEST(Routes, HaveLimitsByDefault) {
  const auto routes =
      take(parse_routes("[[route]]\napp = \"a\"\nlisten = \"h:1\"\nbackend = \"x:1\"", "routes.toml"));
  EXPECT_EQ(routes.at(0).limits.connections, 64U);
  EXPECT_EQ(routes.at(0).limits.from_one_address(), 32U);
  EXPECT_EQ(routes.at(0).limits.handshake, std::chrono::seconds(10));
}

TEST(Routes, OfMessagesAreNoMoreThanZeroMqHasSocketsFor) {
  std::string text;
  for (int i = 0; i <= 6000; ++i)
    text += fmt::format(
        "[[route]]\napp = \"app-{}\"\nmode = \"message\"\nlisten = \"h:{}\"\nbackend = \"x:1\"\napp_key = "
        "\"k\"\n"
        "backend_key = \"b\"\n",
        i, 2 * i + 1);
  EXPECT_NE(message_of(parse_routes(text, "routes.toml")).find("at most 6000 routes of mode message"),
            std::string::npos);
}

TEST(Rate, LetsSoManyBytesPassInASecond) {
  using namespace std::chrono_literals;
  Rate rate(1000);
  auto now = Rate::Clock::now();
  uint64_t passed = 0;
  for (int step = 0; step < 200; ++step, now += 10ms) {
    const size_t allowed = rate.allowance(1 << 20, now);
    passed += allowed;
    rate.spend(allowed);
  }
  EXPECT_GE(passed, 1900U);
  EXPECT_LE(passed, 2200U);
}

/// A listening TCP socket, and connections to a port.
class Relayed : public ::testing::Test {
 protected:
  static sockaddr_in loopback(uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    ::inet_pton(AF_INET, furnace::test::own_loopback().c_str(), &address.sin_addr);
    address.sin_port = htons(port);
    return address;
  }
  static Fd listen_at(uint16_t port) {
    Fd socket(::socket(AF_INET, SOCK_STREAM, 0));
    const int on = 1;
    ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    const auto address = loopback(port);
    if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(socket.get(), 64) != 0)
      return {};
    return socket;
  }
  static Fd connect_to(uint16_t port) {
    Fd socket(::socket(AF_INET, SOCK_STREAM, 0));
    const auto address = loopback(port);
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return {};
    return socket;
  }
  static std::string read_some(const Fd& socket, size_t size, int ms = 5000) {
    std::string text;
    while (text.size() < size) {
      pollfd item{socket.get(), POLLIN, 0};
      if (::poll(&item, 1, ms) <= 0) break;
      std::array<char, 65536> piece;
      const ssize_t got = ::read(socket.get(), piece.data(), std::min(piece.size(), size - text.size()));
      if (got <= 0) break;
      text.append(piece.data(), static_cast<size_t>(got));
    }
    return text;
  }

  void SetUp() override {
    backend_ = listen_at(outside_);
    ASSERT_TRUE(backend_.valid());
    start(Limits{});
  }
  [[nodiscard]] Route route(const Limits& limits) const {
    Route made;
    made.app = "unit-app";
    made.blind = true;
    made.inside = {furnace::test::own_loopback(), inside_};
    made.outside = {furnace::test::own_loopback(), outside_};
    made.limits = limits;
    return made;
  }
  void start(const Limits& limits) { start({route(limits)}); }
  void start(const std::vector<Route>& routes) {
    thread_.reset();
    proxy_.reset();
    context_ = std::make_unique<zmq::context_t>();
    proxy_ = take(Proxy::make(*context_));
    ASSERT_TRUE(proxy_->set_routes(routes));
    thread_.emplace([this](int stop) { proxy_->run(stop); });
  }
  Fd accepted() {
    pollfd item{backend_.get(), POLLIN, 0};
    return Fd(::poll(&item, 1, 5000) == 1 ? ::accept(backend_.get(), nullptr, nullptr) : -1);
  }
  /// A connection that the backend has let in: both sides have said what can be seen of a handshake.
  struct Pair {
    Fd client, server;
  };
  Pair let_in() {
    Pair pair{connect_to(inside_), {}};
    say(pair.client, kSignature);
    pair.server = accepted();
    EXPECT_EQ(read_some(pair.server, kSignature.size()), kSignature);
    const std::string answer(kBeforeReady + 1, 'r');
    say(pair.server, answer);
    EXPECT_EQ(read_some(pair.client, answer.size()), answer);
    return pair;
  }
  static void say(const Fd& socket, std::string_view text) {
    ASSERT_EQ(::send(socket.get(), text.data(), text.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
  }
  bool nobody_came() {
    pollfd item{backend_.get(), POLLIN, 0};
    return ::poll(&item, 1, 200) == 0;
  }
  static constexpr std::string_view kSignature{"\xff\0\0\0\0\0\0\0\1\x7f", 10};  // ZeroMQ's

  const uint16_t inside_ = 20'000, outside_ = 20'002;  // each with the one behind it, for broadcasts
  Fd backend_;
  std::unique_ptr<zmq::context_t> context_;
  std::unique_ptr<Proxy> proxy_;
  std::optional<furnace::test::Background> thread_;
};

TEST_F(Relayed, BytesPassUnchangedBothWaysAndEndsToo) {
  const auto [client, server] = let_in();
  std::string sent(5'000'000, '\0');
  std::mt19937 random(1);
  for (char& c : sent) c = static_cast<char>(random());
  std::thread writer([&sent, socket = client.get()] {
    (void)!::write(socket, sent.data(), sent.size());
    ::shutdown(socket, SHUT_WR);
  });
  EXPECT_TRUE(read_some(server, sent.size()) == sent);
  writer.join();
  EXPECT_EQ(read_some(server, 1), "") << "the end is passed on";
  ASSERT_EQ(::write(server.get(), "answer", 6), 6) << "and the other way stays open";
  EXPECT_EQ(read_some(client, 6), "answer");
}

TEST_F(Relayed, ASlowReaderSlowsItsSenderAndNoOtherPeer) {
  const auto [slow, slow_server] = let_in();
  std::thread flood([socket = slow.get()] {
    const std::string data(32 << 20, 'x');
    (void)::send(socket, data.data(), data.size(), MSG_NOSIGNAL);
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  const auto [quick, quick_server] = let_in();
  ASSERT_EQ(::write(quick.get(), "hello", 5), 5);
  EXPECT_EQ(read_some(quick_server, 5), "hello");
  EXPECT_EQ(read_some(slow_server, 32 << 20).size(), 32U << 20);
  flood.join();
}

TEST_F(Relayed, ConnectionsBeyondTheLimitAreClosed) {
  Limits limits;
  limits.connections = 2;
  start(limits);
  std::vector<Pair> open;
  for (int i = 0; i < 2; ++i) open.push_back(let_in());
  const Fd refused = connect_to(inside_);
  EXPECT_EQ(read_some(refused, 1), "") << "closed at once";
  say(open[0].client, "x");
  EXPECT_EQ(read_some(open[0].server, 1), "x");
}

TEST_F(Relayed, TheRateIsKept) {
  Limits limits;
  limits.bytes_per_second = 1'000'000;
  start(limits);
  const auto [client, server] = let_in();
  const std::string data(700'000, 'x');
  const auto before = std::chrono::steady_clock::now();
  std::thread writer([&data, socket = client.get()] { (void)!::write(socket, data.data(), data.size()); });
  EXPECT_EQ(read_some(server, data.size()).size(), data.size());
  writer.join();
  EXPECT_GT(std::chrono::steady_clock::now() - before, std::chrono::milliseconds(450));
}

TEST_F(Relayed, AnIdleConnectionIsClosed) {
  Limits limits;
  limits.idle = std::chrono::seconds(1);
  start(limits);
  const auto [client, server] = let_in();
  EXPECT_EQ(read_some(client, 1, 5000), "");
  EXPECT_EQ(read_some(server, 1, 1000), "");
}

TEST_F(Relayed, ABackendThatIsNotThereClosesTheConnection) {
  backend_.close();
  const Fd client = connect_to(inside_);
  say(client, kSignature);
  EXPECT_EQ(read_some(client, 1), "");
}

TEST_F(Relayed, TheBackendSeesNoPeerThatDoesNotBeginAsZeroMqDoes) {
  const Fd silent = connect_to(inside_), half = connect_to(inside_);
  say(half, kSignature.substr(0, 9));
  const Fd stranger = connect_to(inside_);
  say(stranger, "GET / HTTP/1.1\r\n\r\n");
  EXPECT_EQ(read_some(stranger, 1), "") << "closed at once";
  EXPECT_TRUE(nobody_came());
  say(half, kSignature.substr(9));
  const Fd server = accepted();
  EXPECT_EQ(read_some(server, kSignature.size()), kSignature) << "what was looked at is passed on";
}

TEST_F(Relayed, AConnectionThatIsNotLetInInTimeIsClosed) {
  Limits limits;
  limits.handshake = std::chrono::seconds(1);
  start(limits);
  const auto [open, open_server] = let_in();
  const Fd silent = connect_to(inside_);
  const Fd welcomed = connect_to(inside_);
  say(welcomed, kSignature);
  const Fd server = accepted();
  say(server, std::string(kBeforeReady, 'w'));
  EXPECT_EQ(read_some(silent, 1), "");
  EXPECT_EQ(read_some(welcomed, kBeforeReady + 1).size(), kBeforeReady) << "WELCOME lets nobody in";
  say(open, "still here");
  EXPECT_EQ(read_some(open_server, 10), "still here");
}

TEST_F(Relayed, LittlePassesBeforeAConnectionIsLetIn) {
  const Fd client = connect_to(inside_);
  say(client, std::string(kSignature) + std::string(kMostBeforeReady - kSignature.size(), 'x'));
  const Fd server = accepted();
  EXPECT_EQ(read_some(server, kMostBeforeReady).size(), kMostBeforeReady);
  say(client, "x");
  EXPECT_EQ(read_some(server, 1), "");
  EXPECT_EQ(read_some(client, 1), "");
}

TEST_F(Relayed, AFloodedRouteLeavesOthersTheirs) {
  Route other = route({});
  other.app = "other-app";
  other.inside.port += 10;
  start({route({}), other});
  std::atomic<bool> done = false;
  std::thread flood([&] {
    while (!done) (void)connect_to(inside_);
  });
  const Fd client = connect_to(other.inside.port);
  say(client, kSignature);
  const Fd server = accepted();
  EXPECT_EQ(read_some(server, kSignature.size()), kSignature);
  done = true;
  flood.join();
}

TEST(Routes, ShareTheDescriptors) {
  EXPECT_GT(share_of_descriptors(1, 1024), 64U);
  EXPECT_EQ(share_of_descriptors(1000, 1024), 4U) << "a FAC partition gets through in any case";
  const uint32_t each = share_of_descriptors(100, 100'000);
  EXPECT_LE(each * 6 * 100, 100'000U);
  EXPECT_GT(each, 100U);
}

}  // namespace
}  // namespace furnace::proxy
