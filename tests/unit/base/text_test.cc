#include "base/text.h"

#include "support.h"

namespace furnace {
namespace {

using test::message_of;
using test::take;
using Texts = std::vector<std::string_view>;

Texts all(const Parts& parts) {
  Texts texts;
  for (const std::string_view part : parts) texts.push_back(part);
  return texts;
}

TEST(Text, IsCutAtItsFirstOrLastSeparator) {
  const Cut first = cut("a=b=c", '=');
  EXPECT_TRUE(first.found && first.before == "a" && first.after == "b=c");
  const Cut last = cut_last("a=b=c", '=');
  EXPECT_TRUE(last.found && last.before == "a=b" && last.after == "c");
  const Cut none = cut("abc", '=');
  EXPECT_TRUE(!none.found && none.before == "abc" && none.after.empty());
  EXPECT_TRUE(cut("=", '=').found);
  EXPECT_FALSE(cut("", '=').found);
}

TEST(Text, IsSplitIntoOnePartMoreThanItHasSeparators) {
  EXPECT_EQ(all(split("a,,b,", ',')), (Texts{"a", "", "b", ""}));
  EXPECT_EQ(all(split(",", ',')), (Texts{"", ""}));
  EXPECT_EQ(all(split("", ',')), Texts{""});
}

TEST(Text, HasNoEmptyItemOrLineAtItsEnd) {
  EXPECT_EQ(all(items("a,,b,", ',')), (Texts{"a", "", "b"}));
  EXPECT_EQ(all(items("a", ',')), Texts{"a"});
  EXPECT_EQ(all(items(",", ',')), Texts{""});
  EXPECT_EQ(all(items("", ',')), Texts{});
  EXPECT_EQ(all(lines("one\n\ntwo\n")), (Texts{"one", "", "two"}));
  EXPECT_EQ(all(lines("one\r\ntwo")), (Texts{"one\r", "two"}));
  EXPECT_EQ(all(items(std::string_view("a\0b\0", 4), '\0')), (Texts{"a", "b"}));
}

TEST(Text, HasWords) {
  EXPECT_EQ(words(" \tone  two\r\nthree "), (Texts{"one", "two", "three"}));
  EXPECT_EQ(words(" \n"), Texts{});
  EXPECT_EQ(trimmed(" \ta b\r\n"), "a b");
  EXPECT_EQ(trimmed(" \t"), "");
}

TEST(Text, IsANumberOnlyAsAWhole) {
  EXPECT_EQ(parse_number<int>("-12"), -12);
  EXPECT_EQ(parse_number<uint64_t>("ff", 16), 0xffU);
  EXPECT_EQ(parse_number<uint64_t>("18446744073709551615"), UINT64_MAX);
  for (const char* bad : {"", " 1", "1 ", "+1", "1x", "0x1", "18446744073709551616", "-1"})
    EXPECT_FALSE(parse_number<uint64_t>(bad)) << bad;
  EXPECT_FALSE(parse_number<uint16_t>("65536"));
}

TEST(Text, GivesANumberThatItBeginsWith) {
  std::string_view text = "24h";
  EXPECT_EQ(take_number<int>(text), 24);
  EXPECT_EQ(text, "h");
  EXPECT_FALSE(take_number<int>(text));
  EXPECT_EQ(text, "h");
  text = "999999999999h";
  EXPECT_FALSE(take_number<int>(text));
  EXPECT_EQ(text, "999999999999h");
}

TEST(Text, IsALiteralAsInC) {
  EXPECT_EQ(parse_literal("0"), 0U);
  EXPECT_EQ(parse_literal("017"), 15U);
  EXPECT_EQ(parse_literal("0xffffffff81000000"), 0xffffffff81000000U);
  for (const char* bad : {"", "08", "0x", "0xg", "-1", "1 "}) EXPECT_FALSE(parse_literal(bad)) << bad;
}

TEST(Text, IsANumberWithinBoundsOrTheErrorNamesWhatWasExpected) {
  EXPECT_EQ(take(parse_number("--port", "5561", bounds::kPort)), 5561);
  EXPECT_EQ(message_of(parse_number("--port", "65536", bounds::kPort)),
            "--port is 65536: expected a whole number, 1 to 65535");
  EXPECT_EQ(message_of(parse_number("--port", "", bounds::kPort)),
            "--port is empty: expected a whole number, 1 to 65535");
}

TEST(Endpoint, IsAHostAndAPort) {
  const Endpoint v4 = take(parse_endpoint("proxy", "10.0.0.1:5561", bounds::kPort));
  EXPECT_EQ(v4.host, "10.0.0.1");
  EXPECT_EQ(v4.port, 5561);
  const Endpoint v6 = take(parse_endpoint("proxy", "[::1]:1", bounds::kPort));
  EXPECT_EQ(v6.host, "[::1]");
  EXPECT_EQ(without_brackets(v6.host), "::1");
  EXPECT_EQ(without_brackets("host"), "host");
  EXPECT_EQ(without_brackets("["), "[");
}

TEST(Endpoint, ErrorsSayWhatAndWhere) {
  for (const char* bad : {"", "host", ":1", "[]:1"})
    EXPECT_EQ(message_of(parse_endpoint("proxy", bad, bounds::kPort)), "proxy: expected HOST:PORT") << bad;
  EXPECT_EQ(message_of(parse_endpoint("proxy", "host:0", bounds::kPort)),
            "proxy: port is 0: expected a whole number, 1 to 65535");
}

}  // namespace
}  // namespace furnace
