// How an app's calls reach a server: over one connection at a time, for all have the app's name.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <chrono>
#include <cstring>

#include "app/facilities_client.h"
#include "base/fd.h"
#include "support.h"

namespace furnace::app {
namespace {

using furnace::test::take;
using furnace::test::TemporaryDirectory;
using std::chrono::milliseconds;

/// A server that takes connections and says nothing.
class Silent {
 public:
  explicit Silent(const std::string& path) : listener_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    constexpr int waiting = 8;
    if (::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(listener_.get(), waiting) != 0)
      throw std::runtime_error(path);
  }

  /// The next connection; invalid if there is none within the time.
  [[nodiscard]] Fd accept(milliseconds within) const {
    pollfd ready{listener_.get(), POLLIN, 0};
    if (::poll(&ready, 1, static_cast<int>(within.count())) != 1) return {};
    return Fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  }

 private:
  Fd listener_;
};

/// Whether the other side has closed this connection already.
bool is_closed(const Fd& connection) {
  pollfd state{connection.get(), POLLRDHUP, 0};
  return ::poll(&state, 1, 0) == 1;
}

class CallSockets : public ::testing::TestWithParam<CallSocket::WhenLost> {
 protected:
  TemporaryDirectory directory_;
  std::string path_ = directory_.path() / "socket";
  zmq::context_t context_;
};

TEST_P(CallSockets, EndTheirConnectionToASilentServerBeforeTheyMakeAnother) {
  const Silent server(path_);
  auto socket = take(CallSocket::connect(context_, "ipc://" + path_, "unit-app-r", GetParam()));
  Fd before = server.accept(milliseconds(5000));
  ASSERT_TRUE(before.valid());
  socket.set_timeout(milliseconds(20));
  constexpr int often = 50;
  for (int i = 0; i < often; ++i) {
    ASSERT_FALSE(socket.ask(zmq::message_t(std::string("hello"))));
    Fd next = server.accept(milliseconds(5000));
    ASSERT_TRUE(next.valid());
    ASSERT_TRUE(is_closed(before)) << "two connections of one name, at exchange " << i;
    before = std::move(next);
  }
}

INSTANTIATE_TEST_SUITE_P(All, CallSockets,
                         ::testing::Values(CallSocket::WhenLost::Wait, CallSocket::WhenLost::GiveUp),
                         [](const auto& test) {
                           return test.param == CallSocket::WhenLost::Wait ? "Waiting" : "GivingUp";
                         });

TEST(FacilitiesClient, HasOneConnectionForCallsAndOneForMessages) {
  const TemporaryDirectory directory;
  const Silent server(directory.path() / "fac_rtr");
  zmq::context_t context;
  const auto client = take(FacilitiesClient::connect(context, directory.path(), "unit-app"));
  const Fd calls = server.accept(milliseconds(5000));
  const Fd messages = server.accept(milliseconds(5000));
  ASSERT_TRUE(calls.valid() && messages.valid());
  EXPECT_FALSE(server.accept(milliseconds(200)).valid());
}

}  // namespace
}  // namespace furnace::app
