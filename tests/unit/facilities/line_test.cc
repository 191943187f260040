// The whole line from an app through FAC and proxy to a backend, over real CURVE sockets.
#include <gtest/gtest.h>

#include <random>

#include "app/facilities_client.h"
#include "backend/backend.h"
#include "facilities/server.h"
#include "proxy/proxy.h"
#include "support.h"

namespace furnace::facilities {
namespace {

using furnace::test::take;
using furnace::test::TemporaryDirectory;

class Line : public ::testing::Test {
 protected:
  void SetUp() override { start(app_, app_.public_key); }

  /// Everything but the app; FAC has the key pair `fac`, the others allow `allowed`.
  void start(const protocol::Certificate& fac, const std::string& allowed) {
    ASSERT_TRUE(protocol::save_certificate(app_, directory_.path(), "app"));
    ASSERT_TRUE(protocol::save_certificate(be_, directory_.path(), "be"));
    start_backend(allowed);
    start_proxy();
    start_fac(fac);
    client_.emplace(take(app::FacilitiesClient::connect(context_app_, directory_.path(), "unit-app")));
  }

  void start_backend(const std::string& allowed) {
    context_backend_ = std::make_unique<zmq::context_t>();
    backend::Options options;
    options.ip = host_;
    options.port = outside_;
    options.own = be_;
    options.allowed.add(allowed);
    options.mode = blind_ ? backend::Mode::Router : backend::Mode::Dealer;
    options.progress = take(backend::Progress::open(directory_.path() / "delivered"));
    backend_ = take(backend::Backend::open(*context_backend_, std::move(options)));
    backend_->on_message([this](const backend::Message& message) { return answer(message); });
    backend_thread_.emplace([this](int stop) { backend_->run(stop); });
  }
  void stop_backend() {
    backend_thread_.reset();
    backend_.reset();
  }

  void start_proxy() {
    context_proxy_ = std::make_unique<zmq::context_t>();
    proxy::Route route;
    route.app = "unit-app";
    route.blind = blind_;
    route.inside = {host_, inside_};
    route.outside = {host_, outside_};
    if (!blind_) {
      route.app_key = directory_.path() / "app.key";
      route.backend_key = directory_.path() / "be.key";
    }
    proxy_ = take(proxy::Proxy::make(*context_proxy_));
    ASSERT_TRUE(proxy_->set_routes({route}));
    proxy_thread_.emplace([this](int stop) { proxy_->run(stop); });
  }
  void stop_proxy() {
    proxy_thread_.reset();
    proxy_.reset();
  }

  void start_fac(const protocol::Certificate& key) {
    Options options;
    options.line = {"unit-app", host_, inside_, key, protocol::ServerKeys(be_.public_key), blind_};
    options.directory = directory_.path();
    options.request_timeout = std::chrono::milliseconds(1500);
    server_ = take(Server::bind(context_fac_, std::move(options),
                                take(Storage::open(directory_.path() / "storage", 1000)),
                                take(Outbox::open(directory_.path() / "storage", 100'000))));
    server_thread_.emplace([this](int stop) { server_->run(stop); });
  }
  void stop_fac() {
    server_thread_.reset();
    server_.reset();
  }

  [[nodiscard]] std::vector<std::string> one_way() {
    const std::lock_guard lock(mutex_);
    return one_way_;
  }

  Result<protocol::Content> answer(const backend::Message& message) {
    if (message.content == "fail") return fail(Errc::Failed, "as asked");
    if (message.content == "slow") std::this_thread::sleep_for(std::chrono::milliseconds(2000));
    if (message.content == "notify me") (void)backend_->notify(message.app, {"for you", false});
    if (message.content == "tell all") (void)backend_->broadcast({"for all", false});
    if (!message.wants_answer) {
      const std::lock_guard lock(mutex_);
      one_way_.push_back(message.app + ":" + message.content);
    }
    return protocol::Content("answer to " + message.content, message.is_bytes);
  }

  template <typename Condition>
  static bool within(std::chrono::milliseconds time, const Condition& condition) {
    const auto end = std::chrono::steady_clock::now() + time;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return true;
  }

  bool blind_ = false;
  const std::string host_ = furnace::test::own_loopback();
  // Each with the one behind it, for broadcasts.
  const uint16_t inside_ = 20'000, outside_ = 20'002;
  TemporaryDirectory directory_;
  protocol::Certificate app_ = take(protocol::new_certificate());
  protocol::Certificate be_ = take(protocol::new_certificate());
  // A ZAP handler guards one context: partitions are processes of their own.
  std::unique_ptr<zmq::context_t> context_backend_, context_proxy_;
  zmq::context_t context_fac_, context_app_;
  std::mutex mutex_;
  std::vector<std::string> one_way_;
  std::unique_ptr<backend::Backend> backend_;
  std::unique_ptr<proxy::Proxy> proxy_;
  std::unique_ptr<Server> server_;
  std::optional<app::FacilitiesClient> client_;
  std::optional<furnace::test::Background> backend_thread_, proxy_thread_, server_thread_;
};

TEST_F(Line, CarriesRequestsAndTheirAnswers) {
  EXPECT_EQ(take(client_->request("one")).content, "answer to one");
  EXPECT_EQ(take(client_->request("two")).content, "answer to two");
  const std::string large(1'000'000, 'x');
  EXPECT_EQ(take(client_->request(large)).content.size(), large.size() + 10);
}

TEST_F(Line, AFailedRequestHasAReasonAndTheNextWorks) {
  EXPECT_EQ(client_->request("fail").error().message(), "request: the backend failed: as asked");
  EXPECT_EQ(take(client_->request("two")).content, "answer to two");
}

TEST_F(Line, AnAnswerThatComesTooLateIsNotTakenForTheNext) {
  EXPECT_NE(client_->request("slow", std::chrono::milliseconds(1500)).error().message().find("in time"),
            std::string::npos);
  EXPECT_EQ(take(client_->request("next")).content, "answer to next");
}

TEST_F(Line, CarriesMessagesBothWays) {
  ASSERT_TRUE(client_->notify("hello"));
  EXPECT_TRUE(within(std::chrono::seconds(5),
                     [&] { return one_way() == std::vector<std::string>{"unit-app:hello"}; }));
  (void)client_->request("notify me");
  std::optional<app::Received> got;
  EXPECT_TRUE(
      within(std::chrono::seconds(5), [&] { return (got = client_->take_notification()).has_value(); }));
  EXPECT_EQ(got->content, "for you");
  // A subscription takes a moment; a broadcast reaches those that listen.
  EXPECT_TRUE(within(std::chrono::seconds(5), [&] {
    (void)client_->request("tell all");
    return (got = client_->take_broadcast()).has_value();
  }));
  EXPECT_EQ(got->content, "for all");
}

TEST_F(Line, CarriesBytesBothWays) {
  const std::string bytes("\0\xff\x80 bytes", 9);
  const auto answer = take(client_->request({bytes, true}));
  EXPECT_TRUE(answer.is_bytes);
  EXPECT_EQ(answer.content, "answer to " + bytes);
  ASSERT_TRUE(client_->notify({bytes, true}));
  EXPECT_TRUE(within(std::chrono::seconds(5),
                     [&] { return one_way() == std::vector<std::string>{"unit-app:" + bytes}; }));
}

TEST_F(Line, DurableMessagesArriveOnceAndInOrderThoughEverythingIsRestarted) {
  std::vector<std::string> expected;
  const auto send = [&](int count) {
    for (int i = 0; i < count; ++i) {
      const std::string text = fmt::format("durable {}", expected.size());
      ASSERT_TRUE(client_->notify_durably(text));
      expected.push_back("unit-app:" + text);
    }
  };
  send(100);
  stop_backend();
  send(100);
  stop_proxy();
  stop_fac();
  start_fac(app_);
  send(100);
  start_backend(app_.public_key);
  start_proxy();
  send(100);
  EXPECT_TRUE(within(std::chrono::seconds(20), [&] { return one_way().size() >= expected.size(); }));
  EXPECT_EQ(one_way(), expected);
  EXPECT_TRUE(within(std::chrono::seconds(5), [&] { return server_->counters().delivered >= 300; }));
}

TEST_F(Line, ARequestEndsAtOnceWhenItsFacEnds) {
  std::thread restart([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    stop_fac();
    start_fac(app_);
  });
  const auto before = std::chrono::steady_clock::now();
  const auto lost = client_->request("slow");
  restart.join();
  ASSERT_FALSE(lost);
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(5)) << lost.error().message();
  EXPECT_TRUE(client_->set("key", "value")) << "what can be asked twice is";
  EXPECT_TRUE(within(std::chrono::seconds(5), [&] { return client_->request("two").has_value(); }));
}

TEST_F(Line, ARequestAfterFacWasRestartedIsAnswered) {
  EXPECT_EQ(take(client_->request("one")).content, "answer to one");
  stop_fac();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));  // the app is told of the end meanwhile
  start_fac(app_);
  EXPECT_EQ(take(client_->request("two")).content, "answer to two");
}

TEST_F(Line, AnAppLearnsWhenNoMoreMessagesCanWait) {
  stop_proxy();
  const std::string large(1'000'000, 'x');
  Status sent;
  int taken = 0;
  for (; sent && taken < 2000; ++taken) {
    sent = client_->notify(large);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().code(), Errc::Unavailable);
  EXPECT_LT(taken, 200) << "32 MB wait at most";
  start_proxy();
  EXPECT_TRUE(within(std::chrono::seconds(20), [&] { return client_->notify("again").has_value(); }));
}

TEST_F(Line, AMillionGetsInOneMessageAreRefusedWithAReason) {
  client_.reset();  // one app, one connection: the one that comes last has the name
  zmq::socket_t peer(context_app_, zmq::socket_type::req);
  peer.set(zmq::sockopt::routing_id, "unit-app-r");
  peer.set(zmq::sockopt::linger, 0);
  peer.connect("ipc://" + (directory_.path() / "fac_rtr").string());
  FacMessage many;
  for (int i = 0; i < 1'000'000; ++i) many.add_type(FacMessage::GET);
  ASSERT_TRUE(protocol::send(peer, {many.SerializeAsString()}));
  zmq::message_t reply;
  ASSERT_TRUE(peer.recv(reply));
  FacMessage answer;
  ASSERT_TRUE(answer.ParseFromArray(reply.data(), static_cast<int>(reply.size())));
  EXPECT_NE(answer.be_msg_ret(0).value().find("too many fields"), std::string::npos)
      << answer.be_msg_ret(0).value();
}

TEST_F(Line, ListsAndRemovesOverTheSocket) {
  ASSERT_TRUE(client_->set("key", "value"));
  const auto stored = take(client_->list());
  EXPECT_EQ(stored.used, 5U);
  EXPECT_EQ(stored.quota, 1000U);
  ASSERT_EQ(stored.sizes.size(), 1U);
  EXPECT_EQ(stored.sizes[0].first, "key");
  ASSERT_TRUE(client_->remove("key"));
  EXPECT_FALSE(client_->remove("key"));
  EXPECT_NE(client_->set("key", std::string(1001, 'x')).error().message().find("over the quota"),
            std::string::npos);
}

TEST_F(Line, StoresOverTheSocket) {
  ASSERT_TRUE(client_->set("key", "value"));
  EXPECT_EQ(take(client_->get("key")), "value");
  EXPECT_FALSE(client_->get("missing"));
  EXPECT_FALSE(client_->set("bad key", "value"));
  EXPECT_FALSE(client_->set("key", std::string(1001, 'x')));
  EXPECT_EQ(take(client_->get("key")), "value");
}

TEST_F(Line, AnotherAppIsRefusedOnThisSocket) {
  auto stranger = take(app::FacilitiesClient::connect(context_app_, directory_.path(), "stranger"));
  EXPECT_FALSE(stranger.set("key", "value"));
  EXPECT_FALSE(stranger.request("hello"));
  EXPECT_FALSE(client_->get("key"));
}

TEST_F(Line, TwentyThousandHostileMessagesAreAllAnswered) {
  zmq::socket_t peer(context_app_, zmq::socket_type::dealer);
  peer.set(zmq::sockopt::routing_id, "fuzz-r");
  peer.set(zmq::sockopt::rcvtimeo, 10'000);
  peer.set(zmq::sockopt::linger, 0);
  peer.connect("ipc://" + (directory_.path() / "fac_rtr").string());
  FacMessage valid;
  for (int type = FacMessage::GET; type <= FacMessage::BE_MSG_RET; ++type)
    valid.add_type(static_cast<FacMessage::Type>(type));
  valid.add_get()->set_key("key");
  valid.add_set()->set_key("key");
  valid.add_be_msg()->set_value("text");
  const std::string sample = valid.SerializeAsString();
  std::mt19937 random(7);
  for (int i = 0; i < 20'000; ++i) {
    std::string body = sample;
    if (i % 2 == 0) {
      body.resize(random() % 64);
      for (char& c : body) c = static_cast<char>(random());
    } else {
      for (unsigned flips = random() % 4; flips != 0; --flips)
        body[random() % body.size()] = static_cast<char>(random());
    }
    ASSERT_TRUE(protocol::send(peer, {"", body}));
    zmq::message_t part;
    do {
      ASSERT_TRUE(peer.recv(part)) << "message " << i << " was not answered";
    } while (part.more());
    FacMessage answer;
    ASSERT_TRUE(answer.ParseFromArray(part.data(), static_cast<int>(part.size())));
  }
  ASSERT_TRUE(client_->set("key", "value"));
}

TEST_F(Line, MalformedMessagesThroughTheProxyHarmNeitherItNorTheBackend) {
  zmq::socket_t peer(context_app_, zmq::socket_type::dealer);
  peer.set(zmq::sockopt::routing_id, "raw-r");
  peer.set(zmq::sockopt::rcvtimeo, 10'000);
  peer.set(zmq::sockopt::linger, 0);
  protocol::use_curve(peer, app_, be_.public_key);
  peer.connect(protocol::tcp_address(host_, inside_));
  std::mt19937 random(9);
  for (int i = 0; i < 1000; ++i) {
    std::string body(random() % 64, '\0');
    for (char& c : body) c = static_cast<char>(random());
    ASSERT_TRUE(protocol::send(peer, {body}));             // one way, malformed
    ASSERT_TRUE(protocol::send(peer, {"x", body, body}));  // no shape at all
    ASSERT_TRUE(protocol::send(peer, {"", body}));         // awaits an answer
    zmq::message_t part;
    do {
      ASSERT_TRUE(peer.recv(part)) << "message " << i << " was not answered";
    } while (part.more());
    FacMessage answer;
    ASSERT_TRUE(answer.ParseFromArray(part.data(), static_cast<int>(part.size())));
    ASSERT_EQ(answer.be_msg_ret_size(), 1);
  }
  EXPECT_EQ(take(client_->request("still there")).content, "answer to still there");
}

/// The same line through a proxy that passes connections on.
class BlindLine : public Line {
 protected:
  BlindLine() { blind_ = true; }
};

TEST_F(BlindLine, CarriesRequestsMessagesAndBroadcasts) {
  EXPECT_EQ(take(client_->request("one")).content, "answer to one");
  ASSERT_TRUE(client_->notify("hello"));
  EXPECT_TRUE(within(std::chrono::seconds(5),
                     [&] { return one_way() == std::vector<std::string>{"unit-app:hello"}; }));
  std::optional<app::Received> got;
  EXPECT_TRUE(within(std::chrono::seconds(5), [&] {
    (void)client_->request("tell all");
    return (got = client_->take_broadcast()).has_value();
  }));
  EXPECT_EQ(got->content, "for all");
}

TEST_F(BlindLine, ABackendCanNotifyAnAppThatHasSentNothingYet) {
  std::optional<app::Received> got;
  EXPECT_TRUE(within(std::chrono::seconds(5), [&] {
    (void)backend_->notify("unit-app", {"first", false});
    return (got = client_->take_notification()).has_value();
  }));
  EXPECT_EQ(got->content, "first");
  // The same after the backend was started anew.
  stop_backend();
  start_backend(app_.public_key);
  EXPECT_TRUE(within(std::chrono::seconds(5), [&] {
    (void)backend_->notify("unit-app", {"second", false});
    return (got = client_->take_notification()).has_value();
  }));
}

TEST_F(BlindLine, DurableMessagesArriveOnceAndInOrder) {
  std::vector<std::string> expected;
  for (int i = 0; i < 300; ++i) {
    if (i == 100) stop_backend();
    if (i == 200) start_backend(app_.public_key);
    const std::string text = fmt::format("durable {}", i);
    ASSERT_TRUE(client_->notify_durably(text));
    expected.push_back("unit-app:" + text);
  }
  EXPECT_TRUE(within(std::chrono::seconds(20), [&] { return one_way().size() >= expected.size(); }));
  EXPECT_EQ(one_way(), expected);
}

class WrongKey : public Line {
 protected:
  void SetUp() override { start(take(protocol::new_certificate()), app_.public_key); }
};

TEST_F(WrongKey, LetsNoPeerIn) {
  const auto refused = client_->request("let me in", std::chrono::milliseconds(1500));
  ASSERT_FALSE(refused);
  // libzmq closes a socket whose key was refused: the request comes before that and waits, or after it.
  const std::string& why = refused.error().message();
  EXPECT_TRUE(why.find("in time") != std::string::npos || why.find("refuses our key") != std::string::npos)
      << why;
  // Storage is local and goes on.
  EXPECT_TRUE(client_->set("key", "value"));
}

}  // namespace
}  // namespace furnace::facilities
