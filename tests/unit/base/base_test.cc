#include <fcntl.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/limited_log.h"
#include "support.h"

namespace furnace {
namespace {

using test::TemporaryDirectory;

TEST(Error, GathersContextFromTheOutside) {
  const Error error = Error(Errc::NotFound, "no such key").context("io_get").context("app 1");
  EXPECT_EQ(error.message(), "app 1: io_get: no such key");
  EXPECT_EQ(error.code(), Errc::NotFound);
}

TEST(Fd, ClosesWithItsOwnerAndNotWhenMovedFrom) {
  Fd first = test::take(open_file("/dev/null", O_RDONLY));
  const int number = first.get();
  {
    const Fd second = std::move(first);
    EXPECT_EQ(second.get(), number);
    EXPECT_NE(::fcntl(number, F_GETFD), -1);
  }
  EXPECT_EQ(::fcntl(number, F_GETFD), -1);
}

TEST(OpenFile, NamesThePathAndTheReason) {
  const auto missing = open_file("/no/such/file", O_RDONLY);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().message(), "/no/such/file: No such file or directory");
  EXPECT_EQ(missing.error().code(), Errc::NotFound);
}

TEST(ConnectUnix, RefusesAPathThatDoesNotFitASocketAddress) {
  EXPECT_EQ(connect_unix("/" + std::string(200, 'x')).error().code(), Errc::Invalid);
}

TEST(ValidUtf8, KeepsWhatIsValidAndReplacesEveryOtherByte) {
  EXPECT_EQ(valid_utf8("plain"), "plain");
  EXPECT_EQ(valid_utf8("gr\xc3\xbc\xc3\x9f"), "gr\xc3\xbc\xc3\x9f");
  EXPECT_EQ(valid_utf8("\xff"), "\xef\xbf\xbd");
  EXPECT_EQ(valid_utf8("\xc3"), "\xef\xbf\xbd");                                  // cut off
  EXPECT_EQ(valid_utf8("\xc0\xaf"), "\xef\xbf\xbd\xef\xbf\xbd");                  // overlong '/'
  EXPECT_EQ(valid_utf8("\xed\xa0\x80"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");  // a surrogate
  EXPECT_EQ(valid_utf8("\xf4\x90\x80\x80").size(), 12U);                          // past U+10FFFF
  EXPECT_EQ(valid_utf8("\xf0\x9f\x94\xa5"), "\xf0\x9f\x94\xa5");
}

TEST(Load, RefusesWhatIsOutside) {
  const std::string bytes = "\x01\x02\x03\x04";
  EXPECT_EQ(load<uint32_t>(as_bytes(bytes), 0), 0x04030201U);
  EXPECT_FALSE(load<uint32_t>(as_bytes(bytes), 1));
  EXPECT_FALSE(load<uint32_t>(as_bytes(bytes), SIZE_MAX));
}

TEST(WriteFile, ReplacesWholeFilesAndLeavesNoTemporaryFile) {
  const TemporaryDirectory directory;
  const auto path = directory.path() / "file";
  ASSERT_TRUE(write_file(path, "one", 0600));
  ASSERT_TRUE(write_file(path, "two", 0600));
  EXPECT_EQ(test::take(read_file(path)), "two");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory.path()), {}), 1);
}

TEST(ReadFile, RefusesMoreThanItsLimit) {
  const TemporaryDirectory directory;
  ASSERT_TRUE(write_file(directory.path() / "file", std::string(1000, 'x')));
  EXPECT_FALSE(read_file(directory.path() / "file", 999));
  EXPECT_TRUE(read_file(directory.path() / "file", 1000));
}

TEST(LockFile, IsHeldByOneAtATime) {
  const TemporaryDirectory directory;
  Fd first = test::take(lock_file(directory.path() / "lock"));
  EXPECT_EQ(lock_file(directory.path() / "lock").error().code(), Errc::Unavailable);
  first.close();
  EXPECT_TRUE(lock_file(directory.path() / "lock"));
}

TEST(LimitedLog, WritesTheFirstLinesOfAPeriodAndCountsTheRest) {
  log::Limited limited("refused keys");
  const auto start = log::Limited::Clock::now();
  for (unsigned i = 0; i < log::Limited::kLines; ++i) EXPECT_TRUE(limited.takes(start));
  for (int i = 0; i < 1000; ++i) EXPECT_FALSE(limited.takes(start));
  EXPECT_EQ(limited.left_out(), 1000U);

  limited.tell_left_out(start);
  EXPECT_EQ(limited.left_out(), 1000U) << "told before the period has ended";
  limited.tell_left_out(start + log::Limited::kPeriod);
  EXPECT_EQ(limited.left_out(), 0U);
  EXPECT_TRUE(limited.takes(start + log::Limited::kPeriod));
}

}  // namespace
}  // namespace furnace
