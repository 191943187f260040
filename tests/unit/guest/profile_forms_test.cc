// Profiles of every form, from the simulator's kernel: the same answers, and bad input refused.
#include <random>

#include "base/bytes.h"
#include "base/compression.h"
#include "base/file.h"
#include "guest/profile/export.h"
#include "guest/profile/isf.h"
#include "guest/profile/profile_file.h"
#include "guest/profile/rekall.h"
#include "guest/profile/structure.h"
#include "guest/profile/system_map.h"
#include "hypervisor/simulator/simulator.h"
#include "support.h"

namespace furnace::guest {
namespace {

using furnace::test::message_of;
using furnace::test::take;

class ProfileForms : public ::testing::Test {
 protected:
  std::filesystem::path write(ProfileFormat format, const std::string& name) {
    const auto file = directory_.path() / name;
    const std::string text = take(export_profile(*profile_, format));
    (void)write_file(file, take(compress(text, compression_for(file))));
    return file;
  }
  void expect_same(const Profile& other) {
    ASSERT_EQ(other.symbol_count(), profile_->symbol_count());
    for (size_t i = 0; i < profile_->symbol_count(); ++i) {
      EXPECT_EQ(other.symbol_at(i).first, profile_->symbol_at(i).first);
      EXPECT_EQ(other.symbol_at(i).second.value, profile_->symbol_at(i).second.value);
      EXPECT_EQ(other.symbol_at(i).second.relative, profile_->symbol_at(i).second.relative);
    }
    for (const auto name : profile_->types().structure_names()) {
      const auto mine = take(describe_structure(profile_->types(), name));
      const auto others = take(describe_structure(other.types(), name));
      EXPECT_EQ(others.size, mine.size) << name;
      ASSERT_EQ(others.members.size(), mine.members.size()) << name;
      for (size_t i = 0; i < mine.members.size(); ++i) {
        EXPECT_EQ(others.members[i].name, mine.members[i].name) << name;
        EXPECT_EQ(others.members[i].bit_offset, mine.members[i].bit_offset)
            << name << "." << mine.members[i].name;
        EXPECT_EQ(others.members[i].size, mine.members[i].size) << name << "." << mine.members[i].name;
        EXPECT_EQ(others.members[i].count, mine.members[i].count) << name << "." << mine.members[i].name;
        EXPECT_EQ(others.members[i].kind, mine.members[i].kind) << name << "." << mine.members[i].name;
        EXPECT_EQ(others.members[i].type, mine.members[i].type) << name << "." << mine.members[i].name;
      }
    }
  }

  furnace::test::TemporaryDirectory directory_;
  std::unique_ptr<hypervisor::Simulator> simulator_ =
      take(hypervisor::Simulator::make(hypervisor::default_guest()));
  std::shared_ptr<const Profile> profile_ = simulator_->kernel()->shared_profile();
};

TEST_F(ProfileForms, AreTheSameInEveryFormAndCompression) {
  for (const char* name : {"p.json", "p.json.xz", "p.json.gz", "p.json.zst"}) {
    SCOPED_TRACE(name);
    const auto isf = take(load_profile(write(ProfileFormat::Isf, name)));
    expect_same(*isf);
    EXPECT_EQ(isf->banner(), profile_->banner());
  }
  expect_same(*take(load_profile(write(ProfileFormat::Rekall, "p.rekall"))));
  expect_same(*take(load_profile(write(ProfileFormat::Furnace, "p.profile"))));
  const auto btf = write(ProfileFormat::Btf, "p.btf");
  expect_same(*take(load_profile(write(ProfileFormat::SystemMap, "System.map"), btf)));
}

TEST_F(ProfileForms, AreTheSameAfterManyRoundTrips) {
  auto profile = profile_;
  for (int i = 0; i < 3; ++i) {
    std::string isf = take(export_profile(*profile, ProfileFormat::Isf));
    profile = take(take(parse_isf(PaddedText(isf))).build());
    std::string rekall = take(export_profile(*profile, ProfileFormat::Rekall));
    profile = take(take(parse_rekall(PaddedText(rekall))).build());
  }
  expect_same(*profile);
}

TEST_F(ProfileForms, SurviveDamageAtEveryPlace) {
  std::mt19937 random(3);
  const std::string isf = take(export_profile(*profile_, ProfileFormat::Isf));
  const std::string rekall = take(export_profile(*profile_, ProfileFormat::Rekall));
  for (int i = 0; i < 2000; ++i) {
    for (const std::string& whole : {isf, rekall}) {
      std::string damaged = whole;
      for (int j = 0; j < 3; ++j) damaged[random() % damaged.size()] = static_cast<char>(random());
      if (i % 2 == 0) damaged.resize(random() % damaged.size());
      if (auto parts = parse_isf(PaddedText(damaged))) (void)(*std::move(parts)).build();
      if (auto parts = parse_rekall(PaddedText(damaged))) (void)(*std::move(parts)).build();
    }
  }
}

TEST(Rekall, FindsBitFieldsAndAnonymousMembers) {
  std::string text = R"({"$CONSTANTS": {"_text": -2130706432, "_etext": 18446744071578849280}, "$STRUCTS": {
    "t": [24, {"a": [0, ["int"]], "u1": [8, ["__unnamed_7"]], "bits": [4, ["BitField", {"start_bit": 3, "end_bit": 8}]]}],
    "__unnamed_7": [8, {"inner": [4, ["unsigned short"]]}]}})";
  const auto profile = take(take(parse_rekall(PaddedText(text))).build());
  EXPECT_EQ(take(profile->types().member("t", "inner")).byte_offset(), 12U);
  EXPECT_EQ(take(profile->types().member("t", "bits")).bit_offset, 35U);
  EXPECT_EQ(take(profile->types().member("t", "bits")).bit_size, 5U);
  EXPECT_EQ(profile->symbol("_etext")->value, 0x1000U);
}

TEST(Isf, TakesSectionsInAnyOrderAndNamesSpelledWithEscapes) {
  const std::string text = R"(
    {"user_types" : { "t": {"size": 8, "kind": "struct", "fields": {
        "a\u0062": {"offset": 4, "type": {"kind": "base", "name": "u\"{,"}}}} } ,
     "metadata": ["}", {"x": [1, 2]}], "symbols": {"_text": {"address": -2130706432}, "e\\": {"address": 18446744071578845184}},
     "base_types": {"u\"{,": {"size": 2, "signed": false}}}
  )";
  const auto parts = take(parse_isf(PaddedText(text)));
  ASSERT_EQ(parts.symbols.size(), 2U);
  EXPECT_EQ(parts.symbols[1].name, "e\\");
  const auto types = take(Btf::parse(parts.types));
  EXPECT_EQ(take(types.member("t", "ab")).byte_offset(), 4U);
}

TEST(Isf, ReportsWhereItsTextIsNoObjectOfSections) {
  for (const auto& [text, complaint] : std::map<std::string, std::string>{
           {R"([])", "expected '{' at offset 0"},
           {R"({"symbols" 1})", "expected ':' at offset 11"},
           {R"({"symbols": {"a": {}} "user_types": {}})", "expected '}' at offset 22"},
           {R"({"symbols": {}, "user_types": {}} x)", "after the object, at offset 34"},
           {R"({"symbols": {}})", "'user_types' is missing"},
           {R"({"symbols": {}, "user_types": 3})", "'user_types': expected an object"},
           {R"({"symbols": {"a": {"address": 1]}, "user_types": {}})", "symbols: 'a'"},
           {R"({"symbols": {"a": {"address": 1})", "expected '}' at offset 32"},
       })
    EXPECT_NE(message_of(parse_isf(PaddedText(text))).find(complaint), std::string::npos)
        << text << ": " << message_of(parse_isf(PaddedText(text)));
}

TEST(SystemMap, LeavesModulesOutAndNamesBadLines) {
  const auto parts =
      take(parse_system_map("0000000000000000 A cpu\nffffffff81000000 T _text\nffffffffc0000000 t f\t[m]\n"));
  ASSERT_EQ(parts.symbols.size(), 2U);
  EXPECT_EQ(parts.symbols[1].type, 'T');
  EXPECT_NE(message_of(parse_system_map("ffffffff81000000 T _text\nx")).find("line 2"), std::string::npos);
  EXPECT_NE(message_of(parse_system_map("ffffffff81000000 T \n")).find("line 1"), std::string::npos);
}

TEST(Compression, RoundTripsAndStaysInItsLimit) {
  std::string text(300'000, 'x');
  for (size_t i = 0; i < text.size(); i += 7) text[i] = static_cast<char>(i);
  for (const auto how : {Compression::Gzip, Compression::Xz, Compression::Zstd}) {
    std::string packed = take(compress(text, how));
    EXPECT_EQ(compression_of(packed), how);
    std::string copy = packed;
    ASSERT_TRUE(decompress(copy, 1 << 20));
    EXPECT_EQ(copy, text);
    copy = packed;
    EXPECT_NE(message_of(decompress(copy, 1000)), "no error");
    packed.resize(packed.size() / 2);
    EXPECT_NE(message_of(decompress(packed, 1 << 20)).find("damaged or truncated"), std::string::npos);
  }
}

TEST(Base64, IsThatOfTheStandard) {
  for (const auto& [plain, text] : std::initializer_list<std::pair<std::string_view, std::string>>{
           {"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foobar", "Zm9vYmFy"}}) {
    EXPECT_EQ(to_base64(as_bytes(plain)), text);
    EXPECT_EQ(from_base64(text), plain);
  }
}

}  // namespace
}  // namespace furnace::guest
