// Storage, and the whole line from an app through FAC and proxy to a backend, over real CURVE sockets.
#include <random>

#include "app/facilities_client.h"
#include "backend/backend.h"
#include "facilities/server.h"
#include "facilities/storage.h"
#include "proxy/proxy.h"
#include "support.h"

namespace furnace::facilities {
namespace {

using furnace::test::take;
using furnace::test::TemporaryDirectory;

TEST(Storage, KeepsValuesOverARestart) {
  const TemporaryDirectory directory;
  {
    Storage storage = take(Storage::open(directory.path(), 1000));
    ASSERT_TRUE(storage.set("key", "value"));
    ASSERT_TRUE(storage.set("key", "gr\xc3\xbc\xc3\x9f"));
    ASSERT_TRUE(storage.set("empty", ""));
  }
  Storage storage = take(Storage::open(directory.path(), 1000));
  EXPECT_EQ(take(storage.get("key")), "gr\xc3\xbc\xc3\x9f");
  EXPECT_EQ(take(storage.get("empty")), "");
  EXPECT_EQ(storage.get("other").error().code(), Errc::NotFound);
}

TEST(Storage, TheQuotaIsExactAndOverwritingFreesTheOldValue) {
  const TemporaryDirectory directory;
  Storage storage = take(Storage::open(directory.path(), 100));
  ASSERT_TRUE(storage.set("a", std::string(60, 'x')));
  EXPECT_FALSE(storage.set("b", std::string(41, 'x')));
  EXPECT_EQ(storage.get("b").error().code(), Errc::NotFound);
  EXPECT_TRUE(storage.set("b", std::string(40, 'x')));
  EXPECT_TRUE(storage.set("a", std::string(60, 'y')));
  EXPECT_FALSE(storage.set("a", std::string(61, 'z')));
  EXPECT_EQ(take(storage.get("a")), std::string(60, 'y'));
}

TEST(Storage, BadKeysAndTextsChangeNothing) {
  const TemporaryDirectory directory;
  Storage storage = take(Storage::open(directory.path(), 100));
  for (const char* key : {"", "12345678901234567", "a b", "a/b", "\xc3\xbc"})
    EXPECT_FALSE(storage.set(key, "x")) << key;
  EXPECT_TRUE(storage.set("1234567890123_-A", "x"));
  EXPECT_FALSE(storage.set("key", "\xff"));
  EXPECT_TRUE(storage.set("nul", std::string("a\0b", 3)));
  EXPECT_EQ(take(storage.get("nul")).size(), 3U);
}

/// Two ports in a row that are free now.
uint16_t free_port() {
  static std::mt19937 random(std::random_device{}());
  zmq::context_t context;
  while (true) {
    const auto port = static_cast<uint16_t>(20'000 + random() % 30'000);
    zmq::socket_t first(context, zmq::socket_type::dealer);
    zmq::socket_t second(context, zmq::socket_type::dealer);
    if (protocol::bind(first, fmt::format("tcp://127.0.0.1:{}", port)) &&
        protocol::bind(second, fmt::format("tcp://127.0.0.1:{}", port + 1)))
      return port;
  }
}

class Line : public ::testing::Test {
 protected:
  void SetUp() override { start(app_, app_.public_key); }

  /// Everything but the app; FAC has the key pair `fac`, the others allow `allowed`.
  void start(const protocol::Certificate& fac, const std::string& allowed) {
    const uint16_t inside = inside_ = free_port();
    const uint16_t outside = free_port();
    backend_ = take(backend::Backend::open(context_backend_, {"127.0.0.1", outside, be_, allowed}));
    backend_->on_message([this](const backend::Message& message) { return answer(message); });
    protocol::Certificate app_with_allowed = app_;
    app_with_allowed.public_key = app_.public_key;
    proxy_.emplace(take(proxy::Proxy::open(
        context_proxy_, {app_with_allowed, be_, "127.0.0.1", inside, "127.0.0.1", outside})));
    Options options{"unit-app",
                    directory_.path(),
                    "127.0.0.1",
                    inside,
                    fac,
                    be_.public_key,
                    std::chrono::milliseconds(1500)};
    server_.emplace(
        take(Server::bind(context_fac_, options, take(Storage::open(directory_.path() / "storage", 1000)))));
    backend_thread_.emplace([this](int stop) {
      backend_->loop().watch(stop, [this] { backend_->loop().stop(); });
      backend_->loop().run();
    });
    proxy_thread_.emplace([this](int stop) { proxy_->run(stop); });
    server_thread_.emplace([this](int stop) { server_->run(stop); });
    client_.emplace(take(app::FacilitiesClient::connect(context_app_, directory_.path(), "unit-app")));
  }

  Result<std::string> answer(const backend::Message& message) {
    if (message.text == "fail") return fail(Errc::Failed, "as asked");
    if (message.text == "slow") std::this_thread::sleep_for(std::chrono::milliseconds(2000));
    if (message.text == "notify me") (void)backend_->notify(message.app, "for you");
    if (message.text == "tell all") (void)backend_->broadcast("for all");
    if (!message.wants_answer) {
      const std::lock_guard lock(mutex_);
      one_way_.push_back(message.app + ":" + message.text);
    }
    return "answer to " + message.text;
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

  uint16_t inside_ = 0;
  TemporaryDirectory directory_;
  protocol::Certificate app_ = take(protocol::new_certificate());
  protocol::Certificate be_ = take(protocol::new_certificate());
  // A ZAP handler guards one context: partitions are processes of their own.
  zmq::context_t context_backend_, context_proxy_, context_fac_, context_app_;
  std::mutex mutex_;
  std::vector<std::string> one_way_;
  std::unique_ptr<backend::Backend> backend_;
  std::optional<proxy::Proxy> proxy_;
  std::optional<Server> server_;
  std::optional<app::FacilitiesClient> client_;
  std::optional<furnace::test::Background> backend_thread_, proxy_thread_, server_thread_;
};

TEST_F(Line, CarriesRequestsAndTheirAnswers) {
  EXPECT_EQ(take(client_->request("one")), "answer to one");
  EXPECT_EQ(take(client_->request("two")), "answer to two");
  const std::string large(1'000'000, 'x');
  EXPECT_EQ(take(client_->request(large)).size(), large.size() + 10);
}

TEST_F(Line, AFailedRequestSaysWhyAndTheNextWorks) {
  EXPECT_EQ(client_->request("fail").error().message(), "request: the backend failed: as asked");
  EXPECT_EQ(take(client_->request("two")), "answer to two");
}

TEST_F(Line, AnAnswerThatComesTooLateIsNotTakenForTheNext) {
  EXPECT_NE(client_->request("slow").error().message().find("in time"), std::string::npos);
  EXPECT_EQ(take(client_->request("next")), "answer to next");
}

TEST_F(Line, CarriesMessagesBothWays) {
  ASSERT_TRUE(client_->notify("hello"));
  EXPECT_TRUE(within(std::chrono::seconds(5), [&] {
    const std::lock_guard lock(mutex_);
    return one_way_ == std::vector<std::string>{"unit-app:hello"};
  }));
  (void)client_->request("notify me");
  std::optional<std::string> got;
  EXPECT_TRUE(
      within(std::chrono::seconds(5), [&] { return (got = client_->take_notification()).has_value(); }));
  EXPECT_EQ(got, "for you");
  // A subscription takes a moment; a broadcast reaches those that listen.
  EXPECT_TRUE(within(std::chrono::seconds(5), [&] {
    (void)client_->request("tell all");
    return (got = client_->take_broadcast()).has_value();
  }));
  EXPECT_EQ(got, "for all");
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
  peer.connect(fmt::format("tcp://127.0.0.1:{}", inside_));
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
  EXPECT_EQ(take(client_->request("still there")), "answer to still there");
}

class WrongKey : public Line {
 protected:
  void SetUp() override { start(take(protocol::new_certificate()), app_.public_key); }
};

TEST_F(WrongKey, GetsNobodyIn) {
  const auto refused = client_->request("let me in");
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
