// What a peer of ZeroMQ sends, taken apart: whole, in pieces, and where it is too much.
#include "zmtp/decoder.h"

#include <gtest/gtest.h>

#include "base/bytes.h"

namespace furnace::zmtp {
namespace {

using Step = Decoder::Step;

std::string part(std::string_view content, bool more = false) {
  std::string bytes;
  put_header(bytes, content.size(), more);
  return bytes + std::string(content);
}

/// What a decoder does with `bytes`, which come in pieces of `piece`: everything is allowed.
struct Seen {
  std::vector<std::vector<std::string>> messages;
  std::vector<std::string> commands;
  std::string error;

  Seen(std::string_view bytes, size_t piece, DecoderLimits limits = {}) {
    Decoder decoder(limits);
    for (; !bytes.empty() && error.empty(); bytes.remove_prefix(std::min(piece, bytes.size()))) {
      auto input = as_bytes(bytes.substr(0, piece));
      for (bool more = true; more;) {
        const auto step = decoder.read(input);
        if (!step) {
          error = step.error().message();
          return;
        }
        more = *step != Step::More;
        if (*step == Step::Room) decoder.allow(decoder.wanted());
        if (*step == Step::Command) commands.emplace_back(decoder.command()->name);
        if (*step != Step::Message) continue;
        messages.emplace_back();
        for (const Part& each : decoder.take().parts) messages.back().emplace_back(as_text(each.bytes()));
      }
    }
  }
};

TEST(Decoder, TakesMessagesInPiecesOfAnySize) {
  const std::string large(1000, 'x');
  const std::string bytes = greeting() + ready_command("REQ") + part("", true) + part("body") +
                            part(large, true) + part("") + part("last");
  for (size_t piece = 1; piece <= bytes.size(); ++piece) {
    const Seen seen(bytes, piece);
    ASSERT_EQ(seen.error, "") << piece;
    ASSERT_EQ(seen.commands, std::vector<std::string>{"READY"}) << piece;
    ASSERT_EQ(seen.messages, (std::vector<std::vector<std::string>>{{"", "body"}, {large, ""}, {"last"}}))
        << piece;
  }
}

TEST(Decoder, HoldsNothingOfAPartThatIsNotAllowed) {
  Decoder decoder;
  const std::string bytes = greeting() + part(std::string(5000, 'x'));
  auto input = as_bytes(bytes);
  ASSERT_EQ(*decoder.read(input), Step::Greeting);
  ASSERT_EQ(*decoder.read(input), Step::Room);
  EXPECT_EQ(decoder.wanted(), 5000U);
  EXPECT_EQ(input.size(), 5000U) << "its content is left where it is";
  EXPECT_EQ(*decoder.read(input), Step::Room) << "until it is allowed";
  EXPECT_TRUE(decoder.rest_of_part().empty());
  decoder.allow(5000);
  EXPECT_EQ(*decoder.read(input), Step::Message);
}

TEST(Decoder, PartsOfAMessageAreAllowedTogether) {
  Decoder decoder;
  const std::string bytes = greeting() + part(std::string(300, 'x'), true) + part(std::string(300, 'y'));
  auto input = as_bytes(bytes);
  ASSERT_EQ(*decoder.read(input), Step::Greeting);
  ASSERT_EQ(*decoder.read(input), Step::Room);
  decoder.allow(decoder.wanted());
  ASSERT_EQ(*decoder.read(input), Step::Room);
  EXPECT_EQ(decoder.wanted(), 600U);
}

TEST(Decoder, RefusesWhatIsTooMuchAtItsHeader) {
  const DecoderLimits limits{.message = 1000, .parts = 4, .parts_kept = 2, .command = 20};
  const auto error = [&](const std::string& bytes) { return Seen(greeting() + bytes, 7, limits).error; };
  EXPECT_EQ(error(part(std::string(1000, 'x'))), "");
  EXPECT_NE(error(part(std::string(1001, 'x'))).find("1001 bytes or more: at most 1000"), std::string::npos);
  EXPECT_NE(error(part(std::string(600, 'x'), true) + part(std::string(600, 'x'))).find("1200 bytes"),
            std::string::npos);
  std::string huge("\x02", 1);
  EXPECT_NE(error(huge + std::string(8, '\xff')).find("at most 1000"), std::string::npos);
  std::string parts;
  for (int i = 0; i < 4; ++i) parts += part("", true);
  EXPECT_EQ(error(parts), "");
  EXPECT_NE(error(parts + part("")).find("more than 4 parts"), std::string::npos);
  EXPECT_NE(error(std::string("\x04\x15", 2)).find("a command of 21 bytes"), std::string::npos);
}

TEST(Decoder, LeavesOutPartsAfterThoseThatAreKept) {
  const DecoderLimits limits{.message = 1000, .parts = 10, .parts_kept = 2, .command = 20};
  const Seen seen(greeting() + part("a", true) + part("b", true) + part("c", true) + part("d") + part("next"),
                  3, limits);
  EXPECT_EQ(seen.messages, (std::vector<std::vector<std::string>>{{"a", "b"}, {"next"}}));
}

TEST(Decoder, KnowsAnotherProtocolByTheFirstByteThatDiffers) {
  for (const std::string_view other : {"GET / HTTP/1.1", "\x16\x03\x01", "SSH-2.0"})
    EXPECT_NE(Seen(other, 1).error.find("does not speak ZMTP"), std::string::npos) << other;
  std::string old = greeting();
  old[10] = 1;
  EXPECT_NE(Seen(old, 64).error.find("speaks ZMTP 1"), std::string::npos);
  std::string curve = greeting();
  curve.replace(12, 5, "CURVE");
  EXPECT_NE(Seen(curve, 64).error.find("another mechanism"), std::string::npos);
  EXPECT_NE(Seen(greeting() + std::string("\x08\x00", 2), 1).error.find("flags 0x8"), std::string::npos);
  EXPECT_NE(Seen(greeting() + std::string("\x05\x00", 2), 1).error.find("a command in parts"),
            std::string::npos);
}

TEST(Commands, ReadyHasTypeAndIdentity) {
  const std::string data("\x0bSocket-Type\0\0\0\3REQ\x08Identity\0\0\0\5app-r", 37);
  const auto ready = parse_ready(as_bytes(data));
  ASSERT_TRUE(ready);
  EXPECT_EQ(ready->socket_type, "REQ");
  EXPECT_EQ(ready->identity, "app-r");
  for (size_t cut = 1; cut < data.size(); ++cut)
    EXPECT_EQ(parse_ready(as_bytes(data).first(cut)).has_value(), cut == 19) << cut;
}

TEST(Commands, PingIsAnsweredWithItsContext) {
  EXPECT_EQ(pong_command(as_bytes(std::string_view("\0\0ctx", 5))), std::string("\4\x08\4PONGctx", 10));
  EXPECT_FALSE(pong_command(as_bytes(std::string_view("\0", 1))));
  EXPECT_FALSE(pong_command(as_bytes(std::string(19, 'x'))));
}

}  // namespace
}  // namespace furnace::zmtp
