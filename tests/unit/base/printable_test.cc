#include "base/printable.h"

#include "support.h"

namespace furnace {
namespace {

TEST(Printable, LeavesWhatPeopleWrite) {
  for (const char* text : {"", "plain ~", "grüße", "Ελλάδα", "שלום", "日本語", "🔥", "e\u0301"})
    EXPECT_EQ(printable(text), text);
}

TEST(Printable, EscapesWhatActsOnATerminal) {
  EXPECT_EQ(printable("a\x1b[31mb"), "a\\x1b[31mb");
  EXPECT_EQ(printable("\a\b\x7f"), "\\x07\\x08\\x7f");
  EXPECT_EQ(printable("\u009b2J\u0085"), "\\u009b2J\\u0085");  // C1: CSI and a line's end
  EXPECT_EQ(printable(std::string_view("a\0b", 3)), "a\\x00b");
}

TEST(Printable, IsOneLine) {
  EXPECT_EQ(printable("a\nb\r\tc\u2028d\u2029"), "a\\nb\\r\\tc\\u2028d\\u2029");
}

TEST(Printable, EscapesWhatHidesOrReorders) {
  EXPECT_EQ(printable("\u202eexe.txt"), "\\u202eexe.txt");  // bidi override
  EXPECT_EQ(printable("\u2066\u2069\u200f\u061c"), "\\u2066\\u2069\\u200f\\u061c");
  EXPECT_EQ(printable("a\u200bb\u200d\ufeff"), "a\\u200bb\\u200d\\ufeff");  // zero width
  EXPECT_EQ(printable("\u00ad\u034f\u3164\ufe0f"), "\\u00ad\\u034f\\u3164\\ufe0f");
  EXPECT_EQ(printable("a\u00a0b\u3000"), "a\\u00a0b\\u3000");  // spaces of other kinds
  EXPECT_EQ(printable("\U000e0041"), "\\U000e0041");           // a tag
  EXPECT_EQ(printable("\ue000\ufffe"), "\\ue000\\ufffe");      // private, not assigned
}

TEST(Printable, ShowsBytesThatAreNoUtf8) {
  EXPECT_EQ(printable("\xff"), "\\xff");
  EXPECT_EQ(printable("\x9b"), "\\x9b");                    // CSI of an 8-bit terminal
  EXPECT_EQ(printable("\xc0\xaf"), "\\xc0\\xaf");           // overlong
  EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // a surrogate
  EXPECT_EQ(printable("a\xe2\x80"), "a\\xe2\\x80");         // cut off
  EXPECT_EQ(printable("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");
}

TEST(Printable, ShowsNoTwoTextsAlike) {
  const std::vector<std::string> texts = {"\x1b",  "\\x1b", "\\\\x1b", "\u009b", "\x9b",  "\\u009b",
                                          "\\x9b", "\n",    "\\n",     "\\",     "\\\\n", "\\\n"};
  std::set<std::string> shown;
  for (const std::string& text : texts) shown.insert(printable(text));
  EXPECT_EQ(shown.size(), texts.size());
}

TEST(Printable, LetsFewMarksOntoACharacter) {
  std::string heap = "a";
  for (int i = 0; i < 1000; ++i) heap += "\u0301";
  const std::string shown = printable(heap);
  EXPECT_TRUE(shown.starts_with("a\u0301\u0301\u0301\u0301\\u0301\\u0301"));
  EXPECT_EQ(shown.find("\u0301", shown.find('\\')), std::string::npos);
  EXPECT_EQ(printable("\u0301"), "\\u0301") << "it would combine with what is before the text";
}

TEST(PrintableLines, KeepLinesTabsAndBackslashes) {
  EXPECT_EQ(printable_lines("a\tb\\n\nc\x1b\r\n"), "a\tb\\n\nc\\x1b\\r\n");
  EXPECT_EQ(printable_lines(printable("\x1b\u202e\xff")), printable("\x1b\u202e\xff"));
}

TEST(PrintableStream, IsTheSameHoweverTheTextIsCut) {
  const std::string text =
      "gr\u00fc\xc3\x9f\u202e\U0001f525\xf0\x9f\x94 e\u0301\u0301\u0301\u0301\u0301 \xe2\x80";
  for (size_t size = 1; size <= text.size(); ++size) {
    PrintableStream stream;
    std::string shown;
    for (size_t at = 0; at < text.size(); at += size) shown += stream.take(text.substr(at, size));
    EXPECT_EQ(shown + stream.end(), printable_lines(text)) << "pieces of " << size;
  }
}

TEST(Column, TakesItsWidthOfTheTerminal) {
  EXPECT_EQ(column("ab", 4), "ab  ");
  EXPECT_EQ(column("abcdef", 4), "abcd");
  EXPECT_EQ(column("日本語", 4), "日本");
  EXPECT_EQ(column("日本語", 5), "日本 ");
  EXPECT_EQ(column("e\u0301t\u00e9", 4), "e\u0301t\u00e9 ");
  EXPECT_EQ(padded("日本", 6), "日本  ");
  EXPECT_EQ(padded("abcdef", 4), "abcdef");
}

}  // namespace
}  // namespace furnace
