#include "protocol/event_loop.h"

#include "support.h"

namespace furnace::protocol {
namespace {

TEST(EventLoop, GoesOnWhenASignalMeetsACallOfZeroMqInACallback) {
  EventLoop loop;
  int turns = 0;
  loop.add_timer(std::chrono::milliseconds(1), [&] {
    if (++turns == 3) return loop.stop();
    errno = EINTR;
    throw zmq::error_t();
  });
  loop.run();
  EXPECT_EQ(turns, 3);
}

TEST(EventLoop, LetsOtherErrorsOfZeroMqOut) {
  EventLoop loop;
  loop.add_timer(std::chrono::milliseconds(1), [] {
    errno = ETERM;
    throw zmq::error_t();
  });
  EXPECT_THROW(loop.run(), zmq::error_t);
}

}  // namespace
}  // namespace furnace::protocol
