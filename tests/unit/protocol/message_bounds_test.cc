// What is refused before it is parsed, and that nothing is that may be sent.
#include "protocol/message_bounds.h"

#include "protocol/calls.h"
#include "support.h"

namespace furnace::protocol {
namespace {

using facilities::BeMsg;
using facilities::FacMessage;
using wire::VmiMessage;

/// `count` empty elements of the sub-message with this field number, two or three bytes each.
std::string empty_messages(int number, size_t count) {
  const uint32_t tag = static_cast<uint32_t>(number) << 3U | 2U;
  std::string one;
  if (tag >= 0x80U) one += static_cast<char>((tag & 0x7fU) | 0x80U);
  one += static_cast<char>(tag >= 0x80U ? tag >> 7U : tag);
  one += '\0';
  std::string all;
  while (count-- != 0) all += one;
  return all;
}

Flaw flaw_of(std::string_view bytes) {
  VmiMessage message;
  return parse(bytes, message);
}

TEST(MessageBounds, TheLargestBatchWithALinkAtEachCallFits) {
  VmiMessage batch;
  for (uint32_t i = 0; i < kMaxCalls; ++i) {
    batch.add_type(VmiMessage::READ_64_VA);
    auto& call = *batch.add_read_64_va();
    call.set_vaddr(~uint64_t{0});
    call.set_pid(-1);
    call.mutable_link()->set_prev_msg_ix(i);
    call.mutable_link()->set_prev_item_ix(1);
    call.mutable_link()->set_cur_item_ix(1);
    call.mutable_link()->set_operator_(wire::Linkage::F_ADD);
  }
  EXPECT_EQ(flaw_of(batch.SerializeAsString()), Flaw::None);
}

TEST(MessageBounds, TheLargestWriteAndTheLargestNotificationFit) {
  VmiMessage write;
  write.add_type(VmiMessage::WRITE_PA);
  write.add_write_pa()->set_buffer(std::string(kMaxFieldSize, 'x'));
  EXPECT_EQ(flaw_of(write.SerializeAsString()), Flaw::None);

  FacMessage notify, parsed;
  notify.add_type(FacMessage::BE_MSG);
  notify.add_be_msg()->set_value(std::string(kMaxFieldSize, 'x'));
  EXPECT_EQ(parse(notify.SerializeAsString(), parsed), Flaw::None);
  BeMsg kept;
  EXPECT_EQ(parse(notify.be_msg(0).SerializeAsString(), kept), Flaw::None);
}

TEST(MessageBounds, FieldsOfALaterVersionFit) {
  VmiMessage later;
  later.add_type(VmiMessage::STATUS);
  later.GetReflection()->MutableUnknownFields(&later)->AddVarint(3000, 1);
  later.GetReflection()->MutableUnknownFields(&later)->AddLengthDelimited(3001, "new");
  EXPECT_EQ(flaw_of(later.SerializeAsString()), Flaw::None);
}

TEST(MessageBounds, NothingIsAMessageThatHasNoBytes) {
  EXPECT_EQ(flaw_of(""), Flaw::Malformed);
}

TEST(MessageBounds, ZerosAreMalformedHoweverManyThereAre) {
  EXPECT_EQ(flaw_of(std::string(1 << 20, '\0')), Flaw::Malformed);
  EXPECT_EQ(flaw_of(std::string(size_t{kMaxMessageSize} + 1, '\0')), Flaw::Bytes);
}

TEST(MessageBounds, EmptySubMessagesAreCountedOfWhateverType) {
  const int read = VmiMessage::kRead64VaFieldNumber, kept = FacMessage::kKeepFieldNumber;
  EXPECT_EQ(flaw_of(empty_messages(read, 2 * kMaxCalls)), Flaw::None);
  EXPECT_EQ(flaw_of(empty_messages(read, 2'000'000)), Flaw::Messages);
  FacMessage parsed;
  EXPECT_EQ(parse(empty_messages(kept, 2'000'000), parsed), Flaw::Messages);
}

TEST(MessageBounds, ElementsOfPackedFieldsAreCounted) {
  // Field 126 (type), packed: 100,000 elements of a byte.
  const std::string packed = std::string("\xf2\x07\xa0\x8d\x06", 5) + std::string(100'000, '\1');
  EXPECT_EQ(flaw_of(packed), Flaw::Fields);
  // The same, one by one.
  std::string single;
  for (int i = 0; i < 100'000; ++i) single += "\xf0\x07\x01";
  EXPECT_EQ(flaw_of(single), Flaw::Fields);
}

TEST(MessageBounds, FieldsThatAreNotKnownAreCountedAlsoThoseOfAnotherWireType) {
  std::string unknown, mistaken;
  for (int i = 0; i < 5000; ++i) {
    unknown += "\xf8\x7f\x01";  // field 2047, a number
    mistaken += "\x08\x01";     // field 1 (event) as a number
  }
  EXPECT_EQ(flaw_of(unknown), Flaw::Unknown);
  EXPECT_EQ(flaw_of(mistaken), Flaw::Unknown);
}

TEST(MessageBounds, GroupsAreRefusedAtAnyDepth) {
  EXPECT_EQ(flaw_of("\xfb\x7f\xfc\x7f"), Flaw::Malformed);  // field 2047: begin and end
  std::string deep;
  for (int i = 0; i < 10'000; ++i) deep += "\xfb\x7f";
  EXPECT_EQ(flaw_of(deep), Flaw::Malformed);
}

TEST(MessageBounds, LengthsThatLieAreMalformed) {
  for (const std::string_view text : {
           "\xa2\x04\xff\xff\xff\xff\x0f",                      // read_pa of 4 GB
           "\xa2\x04\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",  // of 2^64 - 1 bytes
           "\xf0\x07\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",  // a number that does not end
           "\xf0\x07",                                          // none
           "\xa2\x04\x02\x08",                                  // cut short
       })
    EXPECT_EQ(flaw_of(text), Flaw::Malformed);
  // A sub-message that says to be longer than the one it is in.
  EXPECT_EQ(flaw_of(std::string("\xa2\x04\x02\x12\x7f", 5) + std::string(0x7f, '\0')), Flaw::Malformed);
}

}  // namespace
}  // namespace furnace::protocol
