#include "sandbox/policy/bounded_connect.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <thread>

#include "base/bytes.h"
#include "support.h"

namespace furnace::policy {
namespace {

using namespace std::chrono_literals;

/// A UNIX socket that listens and takes nobody: whoever connects after the first ones waits.
class Listener {
 public:
  Listener() {
    const std::string path = directory_.path() / "socket";
    path.copy(address_.sun_path, path.size());
    EXPECT_EQ(::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address_), sizeof address_), 0);
    EXPECT_EQ(::listen(socket_.get(), 0), 0);
  }
  [[nodiscard]] std::span<const std::byte> address() const { return std::as_bytes(std::span(&address_, 1)); }
  void fill() {
    while (true) {
      Fd waiting(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
      if (connect_at_once(waiting.get(), address()) != 0) return;
      waiting_.push_back(std::move(waiting));
    }
  }

 private:
  test::TemporaryDirectory directory_;
  sockaddr_un address_{AF_UNIX, {}};
  Fd socket_{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  std::vector<Fd> waiting_;
};

TEST(ConnectAtOnce, ConnectsWhatDoesNotWait) {
  const Listener listener;
  const Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  EXPECT_EQ(connect_at_once(socket.get(), listener.address()), 0);
}

TEST(ConnectAtOnce, RefusesASocketThatWaits) {
  const Listener listener;
  const Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(connect_at_once(socket.get(), listener.address()), -EOPNOTSUPP);
}

// A thread of the program switches between the two all the time: without a bound this test never ends.
TEST(ConnectAtOnce, ReturnsWhenTheSocketBlocksAfterTheTest) {
  Listener listener;
  listener.fill();
  const Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  std::atomic<bool> stop = false;
  std::thread other([&] {
    sigset_t alarm;
    ::sigemptyset(&alarm);
    ::sigaddset(&alarm, SIGALRM);
    ::pthread_sigmask(SIG_BLOCK, &alarm, nullptr);
    while (!stop)
      for (const int flags : {0, O_NONBLOCK}) ::fcntl(socket.get(), F_SETFL, flags);
  });
  int held = 0;
  for (int i = 0; i < 20'000 && held == 0; ++i) {
    const auto start = std::chrono::steady_clock::now();
    EXPECT_LT(connect_at_once(socket.get(), listener.address(), 20ms), 0);
    held += std::chrono::steady_clock::now() - start >= 15ms ? 1 : 0;
  }
  stop = true;
  other.join();
}

}  // namespace
}  // namespace furnace::policy
