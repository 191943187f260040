// What a FAC partition keeps on disk: values, and messages that must reach the backend.
#include "facilities/storage.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <optional>
#include <random>
#include <thread>

#include "facilities/outbox.h"
#include "protocol/calls.h"
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

TEST(Storage, ListsAndRemovesWhatIsStored) {
  const TemporaryDirectory directory;
  Storage storage = take(Storage::open(directory.path(), 10));
  ASSERT_TRUE(storage.set("b", "123456"));
  ASSERT_TRUE(storage.set("a", "1234"));
  const auto entries = take(storage.list());
  ASSERT_EQ(entries.size(), 2U);
  EXPECT_EQ(entries[0].key, "a");
  EXPECT_EQ(entries[1].size, 6U);
  EXPECT_EQ(storage.used(), 10U);
  EXPECT_FALSE(storage.set("c", "x"));
  ASSERT_TRUE(storage.remove("a"));
  EXPECT_EQ(storage.remove("a").error().code(), Errc::NotFound);
  EXPECT_EQ(storage.used(), 6U);
  EXPECT_TRUE(storage.set("c", "1234"));
}

TEST(Storage, TakesAValueOfTheLargestFieldAndNoLarger) {
  const TemporaryDirectory directory;
  Storage storage = take(Storage::open(directory.path(), 100'000'000));
  const std::string largest(protocol::kMaxFieldSize, 'x');
  ASSERT_TRUE(storage.set("largest", largest));
  EXPECT_EQ(take(storage.get("largest")), largest);
  EXPECT_FALSE(storage.set("larger", largest + "x"));
}

TEST(Storage, BelongsToOneProcess) {
  const TemporaryDirectory directory;
  Storage storage = take(Storage::open(directory.path(), 100));
  const auto second = Storage::open(directory.path(), 100);
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().message().find("another FAC partition stores there"), std::string::npos)
      << second.error().message();
}

/// What survives a storm of writes that is ended by SIGKILL at a random time: every value that was
/// acknowledged, whole.
class Storm {
 public:
  explicit Storm(const std::filesystem::path& directory) : directory_(directory) {}

  /// When the writer is killed: a time after so many rounds were acknowledged, or after its start.
  struct Kill {
    std::optional<unsigned> acknowledged;
    std::chrono::microseconds after;
  };

  /// Writes from round `first` on; returns the last round that was acknowledged for each key.
  std::array<uint32_t, 4> run(uint32_t first, const Kill& kill) {
    int ends[2];
    EXPECT_EQ(::pipe(ends), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      Storage storage = take(Storage::open(directory_, 10'000'000));
      for (uint32_t round = first;; ++round) {
        const uint32_t key = round % keys;
        if (!storage.set(fmt::format("key-{}", key), value(round))) ::_exit(1);
        if (::write(ends[1], &round, sizeof round) != sizeof round) ::_exit(1);
      }
    }
    ::close(ends[1]);
    std::array<uint32_t, keys> last{};
    const auto take_one = [&] {
      uint32_t round = 0;
      const bool taken = ::read(ends[0], &round, sizeof round) == sizeof round;
      if (taken) last[round % keys] = round;
      return taken;
    };
    for (unsigned i = 0; i < kill.acknowledged.value_or(0); ++i) EXPECT_TRUE(take_one()) << "the store";
    std::this_thread::sleep_for(kill.after);
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    while (take_one()) continue;
    ::close(ends[0]);
    return last;
  }

  static constexpr uint32_t keys = 4;
  static std::string value(uint32_t round) {
    return fmt::format("{}:", round) + std::string(round * 997 % 20'000, static_cast<char>('a' + round % 26));
  }

 private:
  std::filesystem::path directory_;
};

TEST(Storage, LosesNothingThatItAcknowledgedAtFiveHundredKills) {
  const TemporaryDirectory directory;
  Storm storm(directory.path());
  std::mt19937 random(5);
  std::array<uint32_t, Storm::keys> known{};
  uint32_t first = 1;
  for (int kill = 0; kill < 500; ++kill) {
    // Every fourth is killed while it may still open the store.
    const auto when = kill % 4 == 0
                          ? Storm::Kill{std::nullopt, std::chrono::microseconds(random() % 12'000)}
                          : Storm::Kill{1 + random() % 3, std::chrono::microseconds(random() % 3'000)};
    const auto last = storm.run(first, when);
    for (uint32_t key = 0; key < Storm::keys; ++key) known[key] = std::max(known[key], last[key]);
    Storage storage = take(Storage::open(directory.path(), 10'000'000));
    for (uint32_t key = 0; key < Storm::keys; ++key) {
      const auto stored = storage.get(fmt::format("key-{}", key));
      if (known[key] == 0 && !stored) continue;
      ASSERT_TRUE(stored) << "kill " << kill << ": key-" << key << " is gone";
      // The one after the last acknowledged may be there too: it was killed before it could say so.
      const auto round = static_cast<uint32_t>(std::stoul(*stored));
      ASSERT_GE(round, known[key]) << "kill " << kill;
      ASSERT_EQ(*stored, Storm::value(round)) << "kill " << kill << ": a torn value";
      known[key] = round;
      first = std::max(first, round + 1);
    }
  }
  EXPECT_GT(first, 375U) << "those that were killed after it acknowledged one round each at least";
}

TEST(Outbox, KeepsItsMessagesInOrderOverARestart) {
  const TemporaryDirectory directory;
  uint64_t id = 0;
  {
    Outbox outbox = take(Outbox::open(directory.path(), 1000));
    id = outbox.id();
    for (const char* message : {"one", "two", "three"}) ASSERT_TRUE(outbox.append(message, {}));
    ASSERT_TRUE(outbox.acknowledge(1));
  }
  Outbox outbox = take(Outbox::open(directory.path(), 1000));
  EXPECT_EQ(outbox.id(), id);
  EXPECT_EQ(outbox.waiting(), 2U);
  const auto first = take(outbox.at_least(0));
  ASSERT_TRUE(first);
  EXPECT_EQ(first->number, 2U);
  EXPECT_EQ(first->content, "two");
  ASSERT_TRUE(outbox.acknowledge(3));
  EXPECT_EQ(outbox.waiting(), 0U);
  ASSERT_TRUE(outbox.append("four", {}));
  EXPECT_EQ(take(outbox.at_least(0))->number, 4U) << "numbers are never given twice";
}

TEST(Outbox, KeepsOnceWhatIsSaidTwice) {
  const TemporaryDirectory directory;
  {
    Outbox outbox = take(Outbox::open(directory.path(), 1000));
    ASSERT_TRUE(outbox.append("one", {7, 1}));
    ASSERT_TRUE(outbox.append("one", {7, 1}));
    EXPECT_EQ(outbox.waiting(), 1U);
  }
  Outbox outbox = take(Outbox::open(directory.path(), 1000));
  ASSERT_TRUE(outbox.append("one", {7, 1}));
  EXPECT_EQ(outbox.waiting(), 1U);
  ASSERT_TRUE(outbox.append("two", {7, 2}));
  ASSERT_TRUE(outbox.append("one", {8, 1}));
  EXPECT_EQ(outbox.waiting(), 3U);
}

TEST(Outbox, IsBounded) {
  const TemporaryDirectory directory;
  Outbox outbox = take(Outbox::open(directory.path(), 1000));
  int taken = 0;
  while (outbox.append(std::string(100, 'x'), {})) ++taken;
  EXPECT_EQ(taken, 6);
  ASSERT_TRUE(outbox.acknowledge(1));
  EXPECT_TRUE(outbox.append(std::string(100, 'x'), {}));
  EXPECT_EQ(outbox.append("", {}).error().code(), Errc::Busy);
}

}  // namespace
}  // namespace furnace::facilities
