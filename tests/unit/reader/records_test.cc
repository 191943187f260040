// What a reader reports is taken apart in whatever pieces it comes; what is no report is refused.
#include "reader/records.h"

#include "support.h"

namespace furnace::reader {
namespace {

using furnace::test::message_of;

struct Taken {
  std::vector<Record> records;
  Status status;
  bool done = false;
};

Taken take(std::string_view bytes, size_t piece, std::vector<RecordKind> expected = {RecordKind::Process}) {
  Decoder decoder(expected);
  Taken taken;
  for (; taken.status && !bytes.empty(); bytes.remove_prefix(std::min(piece, bytes.size())))
    taken.status = decoder.take(bytes.substr(0, piece), [&](Record record) {
      taken.records.push_back(std::move(record));
      return Status();
    });
  taken.done = decoder.done();
  return taken;
}

const std::string kProcess = encode({RecordKind::Process, {0x1000, 1, 0, 33, 0, 3}, {"init", "", "a b"}});
const std::string kDone = encode({RecordKind::Done, {}, {}});

TEST(Records, ComeInPiecesOfAnySize) {
  const std::string bytes = kProcess + kProcess + kDone;
  for (const size_t piece : {size_t{1}, size_t{7}, bytes.size()}) {
    const Taken taken = take(bytes, piece);
    ASSERT_TRUE(taken.status) << message_of(taken.status);
    ASSERT_EQ(taken.records.size(), 3U);
    EXPECT_EQ(taken.records[1].numbers, (std::vector<uint64_t>{0x1000, 1, 0, 33, 0, 3, 0}));
    EXPECT_EQ(taken.records[1].texts, (std::vector<std::string>{"init", "", "a b", ""}));
    EXPECT_TRUE(taken.done);
  }
}

TEST(Records, OfEveryKindHaveTheFormThatTheyAreSentIn) {
  for (unsigned kind = 0; kind <= static_cast<unsigned>(RecordKind::Done); ++kind) {
    const auto each = static_cast<RecordKind>(kind);
    EXPECT_EQ(form_of(each).kind, each);
    const Taken taken = take(encode({each, {}, {}}), 3, {each});
    EXPECT_TRUE(taken.status) << message_of(taken.status);
    EXPECT_EQ(taken.records.size(), 1U);
  }
}

TEST(Records, OfTooLongTextsAreCut) {
  const Taken taken = take(encode({RecordKind::Process, {}, {std::string(1000, 'n'), {}, {}}}), 1000);
  ASSERT_EQ(taken.records.size(), 1U);
  EXPECT_EQ(taken.records[0].texts[0].size(), 64U);
}

TEST(Records, ThatWereNotAskedForAreRefused) {
  EXPECT_FALSE(take(kProcess, 100, {RecordKind::Kernel}).status);
  EXPECT_FALSE(take(std::string("\0\0\0\0\xff\0\0\0", 8), 100).status);
  EXPECT_FALSE(take(kDone + kDone, 100).status);
  EXPECT_FALSE(take(kDone + "x", 100).status);
}

TEST(Records, ThatAreDamagedAreRefusedOrIncomplete) {
  for (size_t at = 0; at < kProcess.size(); ++at)
    for (const char bits : {'\x01', '\x7f', '\xff'}) {
      std::string damaged = kProcess;
      damaged[at] = static_cast<char>(damaged[at] ^ bits);
      const Taken taken = take(damaged, damaged.size());
      EXPECT_LE(taken.records.size(), 1U);
    }
  for (size_t size = 0; size < kProcess.size(); ++size) {
    const Taken taken = take(std::string_view(kProcess).substr(0, size), 1000);
    EXPECT_TRUE(taken.status && taken.records.empty() && !taken.done) << size;
  }
}

TEST(Records, ThatNeverEndAreRefusedAtTheLimit) {
  Decoder decoder({});
  const std::string failed = encode({RecordKind::Failed, {0}, {"why"}});
  const auto ignore = [](const Record&) { return Status(); };
  EXPECT_TRUE(decoder.take(failed, ignore));
  EXPECT_NE(message_of(decoder.take(failed, ignore)).find("too many"), std::string::npos);

  const std::array kinds{RecordKind::Profile};
  Decoder profiles(kinds);
  const std::string piece = encode({RecordKind::Profile, {}, {std::string(kPiece, 'p')}});
  size_t taken = 0;
  while (profiles.take(piece, ignore)) taken += kPiece;
  EXPECT_GT(taken, size_t{60} << 20);
  EXPECT_LE(taken, size_t{64} << 20);
}

}  // namespace
}  // namespace furnace::reader
