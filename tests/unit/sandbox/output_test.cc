#include "sandbox/output.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>

#include "support.h"

namespace furnace::sandbox {
namespace {

using namespace std::chrono_literals;

/// A pipe to fill, and a file that takes what is handed on.
struct Stream {
  Fd writing, file{::memfd_create("output", MFD_CLOEXEC)};
  Output output;

  static Stream make(const OutputLimit& limit) {
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK), 0);
    Fd file(::memfd_create("output", MFD_CLOEXEC));
    const int to = file.get();
    return {Fd(ends[1]), std::move(file), Output(Fd(ends[0]), to, limit)};
  }
  void print(size_t bytes) const {
    const std::string text(bytes, 'x');
    EXPECT_EQ(::write(writing.get(), text.data(), text.size()), static_cast<ssize_t>(bytes));
  }
  [[nodiscard]] off_t handed_on() const { return ::lseek(file.get(), 0, SEEK_END); }
};

TEST(Output, HandsOnWhatIsWithinTheLimitAndCountsTheRest) {
  Stream stream = Stream::make({.at_once = 1000, .per_second = 100});
  stream.print(900);
  EXPECT_TRUE(stream.output.forward());
  EXPECT_EQ(stream.output.take_dropped(), 0U);
  stream.print(900);
  EXPECT_TRUE(stream.output.forward());
  EXPECT_GE(stream.handed_on(), 1000);
  EXPECT_LT(stream.handed_on(), 1100);
  EXPECT_EQ(stream.output.take_dropped(), static_cast<uint64_t>(1800 - stream.handed_on()));
  EXPECT_EQ(stream.output.take_dropped(), 0U);
}

TEST(Output, GetsRoomBackAsTimePasses) {
  Stream stream = Stream::make({.at_once = 1000, .per_second = 100});
  stream.print(1000);
  EXPECT_TRUE(stream.output.forward());
  stream.print(500);
  EXPECT_TRUE(stream.output.forward(Output::Clock::now() + 3s));
  EXPECT_GE(stream.handed_on(), 1300);
  EXPECT_LT(stream.handed_on(), 1400);
}

TEST(Output, EndsWithItsPipe) {
  Stream stream = Stream::make({});
  EXPECT_TRUE(stream.output.forward()) << "nothing there is not the end";
  stream.writing.close();
  EXPECT_FALSE(stream.output.forward());
}

}  // namespace
}  // namespace furnace::sandbox
