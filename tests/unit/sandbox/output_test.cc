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
  void print(size_t bytes) const { print(std::string(bytes, 'x')); }
  void print(const std::string& text) const {
    EXPECT_EQ(::write(writing.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  [[nodiscard]] std::string text() const {
    std::string all(static_cast<size_t>(handed_on()), '\0');
    EXPECT_EQ(::pread(file.get(), all.data(), all.size(), 0), static_cast<ssize_t>(all.size()));
    return all;
  }
  [[nodiscard]] off_t handed_on() const { return ::lseek(file.get(), 0, SEEK_END); }
};

TEST(Output, HandsOnWhatIsWithinTheLimitAndCountsTheRest) {
  Stream stream = Stream::make({.at_once = 1000, .per_second = 100});
  stream.print(900);
  stream.output.forward();
  EXPECT_EQ(stream.output.take_dropped(), 0U);
  stream.print(900);
  stream.output.forward();
  EXPECT_GE(stream.handed_on(), 1000);
  EXPECT_LT(stream.handed_on(), 1100);
  EXPECT_EQ(stream.output.take_dropped(), static_cast<uint64_t>(1800 - stream.handed_on()));
  EXPECT_EQ(stream.output.take_dropped(), 0U);
}

TEST(Output, GetsRoomBackAsTimePasses) {
  Stream stream = Stream::make({.at_once = 1000, .per_second = 100});
  stream.print(1000);
  stream.output.forward();
  stream.print(500);
  stream.output.forward(Output::Clock::now() + 3s);
  EXPECT_GE(stream.handed_on(), 1300);
  EXPECT_LT(stream.handed_on(), 1400);
}

TEST(Output, EndsWithItsPipe) {
  Stream stream = Stream::make({});
  stream.output.forward();
  EXPECT_FALSE(stream.output.ended()) << "nothing there is not the end";
  stream.writing.close();
  stream.output.forward();
  EXPECT_TRUE(stream.output.ended());
}

TEST(Output, IsMadeSafeUnlessRawIsAskedFor) {
  for (const bool raw : {false, true}) {
    Stream stream = Stream::make({.raw = raw});
    stream.print("\x1b[31mred \xe2\x80");
    stream.output.forward();
    stream.print("\xae\n\x9b");
    stream.output.forward();
    stream.writing.close();
    stream.output.forward();
    EXPECT_EQ(stream.text(), raw ? "\x1b[31mred \u202e\n\x9b" : "\\x1b[31mred \\u202e\n\\x9b");
  }
}

TEST(Output, EscapesCountAsWhatTheyTake) {
  Stream stream = Stream::make({.at_once = 1000, .per_second = 0});
  stream.print(std::string(500, '\x1b'));
  stream.output.forward();
  stream.print(500);
  stream.output.forward();
  EXPECT_EQ(stream.handed_on(), 2000);
  EXPECT_EQ(stream.output.take_dropped(), 500U);
}

TEST(Output, ReadsInTurnsHoweverSmallThePieces) {
  Stream stream = Stream::make({});
  stream.print("a");
  const auto now = Output::Clock::now();
  EXPECT_LE(stream.output.next_turn(), now);
  stream.output.forward(now);
  const auto pause = stream.output.next_turn() - now;
  EXPECT_GE(pause, 5ms) << "at most 200 turns a second";
  EXPECT_LE(pause, 50ms) << "people wait for it";
}

TEST(Output, OfWhoPrintsTooMuchIsReadMoreSeldom) {
  Stream stream = Stream::make({.at_once = 1000, .per_second = 100});
  stream.print(10'000);
  const auto now = Output::Clock::now();
  stream.output.forward(now);
  EXPECT_GE(stream.output.next_turn() - now, 50ms);
  EXPECT_GT(stream.output.take_dropped(), 8000U);
}

}  // namespace
}  // namespace furnace::sandbox
