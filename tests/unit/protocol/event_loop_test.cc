#include "protocol/event_loop.h"

#include <cmath>

#include "support.h"

namespace furnace::protocol {
namespace {

TEST(EventLoop, ContinuesWhenASignalInterruptsACallOfZeroMqInACallback) {
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

TEST(EventLoop, PassesOnOtherErrorsOfZeroMq) {
  EventLoop loop;
  loop.add_timer(std::chrono::milliseconds(1), [] {
    errno = ETERM;
    throw zmq::error_t();
  });
  EXPECT_THROW(loop.run(), zmq::error_t);
}

TEST(EventLoop, TakesTimersOfAnyLength) {
  EventLoop loop;
  bool was_late = false;
  for (const double seconds : {std::nan(""), 1e300, HUGE_VAL})
    loop.add_timer(std::chrono::duration<double>(seconds), [&] { was_late = true; });
  loop.add_timer(std::chrono::duration<double>(-1), [&] { loop.stop(); });
  loop.run();
  EXPECT_FALSE(was_late);
}

}  // namespace
}  // namespace furnace::protocol
