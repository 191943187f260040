#include "base/enum_table.h"

#include "support.h"

namespace furnace {
namespace {

enum class Colour : uint8_t { Red, Green, Blue };
enum class One { Only };
struct Holder {
  enum class Inner : int { A1, B2 };
};

static_assert(count_of<Colour>() == 3);
static_assert(count_of<One>() == 1);
static_assert(count_of<Holder::Inner>() == 2);

constexpr EnumTable<Colour, int> kLengths({{Colour::Red, 700}, {Colour::Green, 530}, {Colour::Blue, 470}});
static_assert(kLengths[Colour::Green] == 530);

TEST(EnumTable, HasARowForEachEnumerator) {
  EXPECT_EQ(kLengths[Colour::Red], 700);
  EXPECT_EQ(kLengths[Colour::Blue], 470);
  int sum = 0;
  for (const auto& row : kLengths) sum += row.value;
  EXPECT_EQ(sum, 1700);
}

TEST(EnumTable, KnowsWhatIsNoEnumerator) {
  EXPECT_TRUE(kLengths.has(Colour::Blue));
  EXPECT_FALSE(kLengths.has(static_cast<Colour>(3)));
}

}  // namespace
}  // namespace furnace
