#include "guest/profile/profile.h"

#include <random>

#include "base/bytes.h"
#include "base/file.h"
#include "guest/flat_memory.h"
#include "guest/profile/btf_builder.h"
#include "guest/profile/kallsyms.h"
#include "guest/profile/locate.h"
#include "support.h"

namespace furnace::guest {
namespace {

std::vector<std::byte> types() {
  BtfBuilder btf;
  const uint32_t u64 = btf.add_int("unsigned long", 8);
  const uint32_t inner = btf.add_struct("", 16, {{"a", u64, 0}, {"b", u64, 8}});
  const uint32_t list = btf.add_struct("list_head", 16, {{"next", u64, 0}, {"prev", u64, 8}});
  btf.add_struct("thing", 64, {{"first", u64, 0}, {"", inner, 8}, {"list", list, 32}});
  return btf.build();
}

TEST(Btf, FindsNestedAndAnonymousMembers) {
  const auto blob = types();
  const Btf btf = furnace::test::take(Btf::parse(blob));
  EXPECT_EQ(btf.member("thing", "first")->byte_offset(), 0U);
  EXPECT_EQ(btf.member("thing", "b")->byte_offset(), 16U);
  EXPECT_EQ(btf.member("thing", "list.prev")->byte_offset(), 40U);
  EXPECT_EQ(btf.size("thing").value_or(0), 64U);
}

TEST(Btf, NamesWhatIsMissing) {
  const auto blob = types();
  const Btf btf = furnace::test::take(Btf::parse(blob));
  EXPECT_EQ(btf.member("nothing", "x").error().message(), "no structure 'nothing' in the kernel's types");
  EXPECT_EQ(btf.member("thing", "list.x").error().message(), "structure 'thing' has no member 'list.x'");
  EXPECT_FALSE(btf.member("thing", ""));
  EXPECT_FALSE(btf.member("thing", "list."));
  EXPECT_FALSE(btf.member("thing", "first.x"));
}

TEST(Btf, NamesAreCutThatManyMembersCouldShare) {
  BtfBuilder builder;
  const std::string name(100'000, 'n');
  const std::vector<BtfBuilder::Member> members(5000, {name, 0, 0});
  builder.add_struct("thing", 8, members);
  const auto blob = builder.build();
  const Btf btf = furnace::test::take(Btf::parse(blob));
  size_t characters = 0;
  (void)btf.for_each_member(*btf.find_structure("thing"), [&](std::string_view member, const Btf::Member&) {
    characters += member.size();
  });
  EXPECT_EQ(characters, 5000U * 511U);
}

TEST(Btf, AnonymousMembersWithoutEndAreCut) {
  BtfBuilder btf;
  std::vector<BtfBuilder::Member> members(5000, {"", 1, 0});  // each of them the structure itself
  btf.add_struct("loop", 8, members);
  const auto blob = btf.build();
  const Btf parsed = furnace::test::take(Btf::parse(blob));
  EXPECT_FALSE(parsed.member("loop", "x"));
}

TEST(Btf, SurvivesEveryTruncationAndRandomDamage) {
  const auto blob = types();
  for (size_t size = 0; size < blob.size(); ++size) (void)Btf::parse(std::span(blob).first(size));
  std::mt19937 random(1);
  for (int i = 0; i < 20'000; ++i) {
    auto damaged = blob;
    for (int j = 0; j < 4; ++j) damaged[random() % damaged.size()] = std::byte(random() & 0xff);
    if (const auto btf = Btf::parse(damaged)) {
      (void)btf->member("thing", "list.prev");
      (void)btf->member("thing", "b");
      (void)btf->size("thing");
    }
  }
}

/// kallsyms tables as a kernel of the given layout holds them: every character is a token of itself.
struct Tables {
  std::vector<std::byte> bytes;
  size_t signature = 0;
};

enum class Layout { Until419, Until61, Since62, Since64, Since70 };

/// How far each symbol is from its own offset, in an image whose start lies kTextBefore before the window.
constexpr int64_t kTextBefore = 8 << 20;
std::string places(const std::vector<std::pair<std::string, uint64_t>>& symbols, uint64_t base,
                   size_t position) {
  std::string offsets;
  for (size_t i = 0; i < symbols.size(); ++i) {
    const int64_t offset =
        static_cast<int64_t>(symbols[i].second - base) - kTextBefore - static_cast<int64_t>(position + 4 * i);
    const auto stored = static_cast<int32_t>(offset);
    offsets.append(reinterpret_cast<const char*>(&stored), sizeof stored);
  }
  return offsets;
}

Tables make_tables(Layout layout, const std::vector<std::pair<std::string, uint64_t>>& symbols,
                   uint64_t base) {
  std::string names, markers, offsets, token_table, token_index;
  const auto put = [](std::string& to, auto value) {
    to.append(reinterpret_cast<const char*>(&value), sizeof value);
  };
  for (size_t i = 0; i < symbols.size(); ++i) {
    if (i % 256 == 0 && layout == Layout::Until419) put(markers, uint64_t{names.size()});
    if (i % 256 == 0 && layout != Layout::Until419) put(markers, static_cast<uint32_t>(names.size()));
    const std::string text = "T" + symbols[i].first;
    if (text.size() >= 0x80)
      names += static_cast<char>((text.size() & 0x7f) | 0x80), names += static_cast<char>(text.size() >> 7);
    else
      names += static_cast<char>(text.size());
    names += text;
    put(offsets,
        static_cast<int32_t>(symbols[i].second < base ? symbols[i].second : base - 1 - symbols[i].second));
  }
  for (int c = 0; c < 256; ++c) {
    put(token_index, static_cast<uint16_t>(token_table.size()));
    if (c > ' ' && c < 127) token_table += static_cast<char>(c);
    token_table += '\0';
  }
  Tables tables;
  std::string all(4096, '\x5a');
  const size_t alignment = layout == Layout::Since70 ? 4 : 8;
  const auto add = [&](const std::string& part) {
    all.resize((all.size() + alignment - 1) / alignment * alignment, '\0');
    all += part;
  };
  std::string count, base_bytes;
  put(count, static_cast<uint32_t>(symbols.size()));
  put(base_bytes, base);
  const std::string sequence(symbols.size() * 3, '\x77');
  const bool offsets_last = layout == Layout::Since64 || layout == Layout::Since70;
  if (!offsets_last) add(offsets), add(base_bytes);
  add(count), add(names), add(markers);
  if (layout == Layout::Since62) add(sequence);
  add(token_table);
  tables.signature = all.size() - token_table.size() + token_table.find(std::string("0\0001\0002\0", 6));
  add(token_index);
  if (layout == Layout::Since64) add(offsets), add(base_bytes), add(sequence);
  if (layout == Layout::Since70) add(places(symbols, base, (all.size() + 3) & ~size_t{3})), add(sequence);
  all.append(4096, '\x5a');
  const auto bytes = as_bytes(all);
  tables.bytes.assign(bytes.begin(), bytes.end());
  return tables;
}

std::vector<std::pair<std::string, uint64_t>> many_symbols(uint64_t base, Layout layout) {
  std::vector<std::pair<std::string, uint64_t>> symbols{{"per_cpu_thing", 0x14000}};
  if (layout == Layout::Since70) symbols = {{"_text", base}};
  for (int i = 0; i < 5000; ++i)
    symbols.emplace_back("symbol_" + std::to_string(i), base + static_cast<uint64_t>(i) * 16);
  symbols.emplace_back("a_" + std::string(200, 'x'), base + 0x100000);  // longer than one length byte tells
  return symbols;
}

class KallsymsLayout : public ::testing::TestWithParam<Layout> {};

TEST_P(KallsymsLayout, GivesEverySymbolItsNameAndAddress) {
  const uint64_t base = GetParam() == Layout::Since70 ? 0xffffffff81000000 : 0xffffffff9a000000;
  const auto symbols = many_symbols(base, GetParam());
  const Tables tables = make_tables(GetParam(), symbols, base);
  EXPECT_TRUE(has_token_table(tables.bytes, tables.signature));
  const Kallsyms parsed = furnace::test::take(parse_kallsyms(tables.bytes, tables.signature));
  EXPECT_EQ(parsed.relative_base, base);
  if (GetParam() == Layout::Since70) {
    EXPECT_FALSE(parsed.relative_base_position);
    EXPECT_EQ(parsed.text_position, -kTextBefore);
  } else {
    EXPECT_EQ(load<uint64_t>(tables.bytes, parsed.relative_base_position.value_or(0)), base);
  }
  ASSERT_EQ(parsed.symbols.size(), symbols.size());
  for (size_t i = 0; i < symbols.size(); ++i) {
    EXPECT_EQ(parsed.symbols[i].name, symbols[i].first);
    EXPECT_EQ(parsed.symbols[i].address, symbols[i].second);
    EXPECT_EQ(parsed.symbols[i].type, 'T');
  }
}

TEST_P(KallsymsLayout, SurvivesDamage) {
  constexpr uint64_t base = 0xffffffff9a000000;
  const Tables tables = make_tables(GetParam(), many_symbols(base, GetParam()), base);
  std::mt19937 random(2);
  for (int i = 0; i < 300; ++i) {
    Tables damaged = tables;
    for (int j = 0; j < 8; ++j) damaged.bytes[random() % damaged.bytes.size()] = std::byte(random() & 0xff);
    (void)parse_kallsyms(damaged.bytes, damaged.signature);
    (void)parse_kallsyms(std::span(damaged.bytes).first(random() % damaged.bytes.size()), damaged.signature);
  }
}

INSTANTIATE_TEST_SUITE_P(All, KallsymsLayout,
                         ::testing::Values(Layout::Until419, Layout::Until61, Layout::Since62,
                                           Layout::Since64, Layout::Since70));

TEST(Profile, IsTheSameFromAFile) {
  ProfileBuilder builder;
  builder.set_banner("Linux version 1");
  builder.set_types(types());
  builder.add_symbol("b", {2, true});
  builder.add_symbol("a", {1, true});
  builder.add_symbol("c", {3, false});
  builder.add_symbol("a", {99, true});  // a second local symbol of the name: the first counts
  const auto built = furnace::test::take(std::move(builder).build());
  const furnace::test::TemporaryDirectory directory;
  ASSERT_TRUE(write_file(directory.path() / "p", as_text(built->image())));
  const auto read = furnace::test::take(Profile::from_file(directory.path() / "p"));
  for (const auto& profile : {built, read}) {
    EXPECT_EQ(profile->symbol_count(), 3U);
    EXPECT_EQ(profile->symbol("a")->value, 1U);
    EXPECT_FALSE(profile->symbol("c")->relative);
    EXPECT_FALSE(profile->symbol("d"));
    EXPECT_EQ(profile->banner(), "Linux version 1");
    EXPECT_EQ(profile->types().member("thing", "list")->byte_offset(), 32U);
  }
}

TEST(Profile, DamagedFilesAreRefusedOrHarmless) {
  ProfileBuilder builder;
  builder.set_types(types());
  for (int i = 0; i < 50; ++i) builder.add_symbol("symbol" + std::to_string(i), {1, true});
  const auto built = furnace::test::take(std::move(builder).build());
  const std::vector<std::byte> image(built->image().begin(), built->image().end());
  for (size_t size = 0; size < image.size(); size += 3)
    EXPECT_FALSE(Profile::from_image({image.begin(), image.begin() + static_cast<ptrdiff_t>(size)}));
  std::mt19937 random(3);
  for (int i = 0; i < 5000; ++i) {
    auto damaged = image;
    damaged[random() % damaged.size()] = std::byte(random() & 0xff);
    if (const auto profile = Profile::from_image(damaged)) (void)(*profile)->symbol("symbol7");
  }
}

TEST(LocateKernel, ReportsWhyThereIsNone) {
  const test::FlatMemory memory(4 << 20);
  const auto nothing = locate_kernel(memory, std::nullopt, nullptr);
  ASSERT_FALSE(nothing);
  EXPECT_NE(nothing.error().message().find("no symbol table in memory"), std::string::npos);
  PagingState firmware{.cr0 = 0x10};
  EXPECT_EQ(locate_kernel(memory, firmware, nullptr).error().code(), Errc::Unavailable);
}

TEST(LocateKernel, SymbolTablesWithoutAKernelAroundThemAreNotTrusted) {
  constexpr uint64_t base = 0xffffffff9a000000;
  const Tables tables = make_tables(Layout::Until61, many_symbols(base, Layout::Since62), base);
  test::FlatMemory memory(8 << 20);
  (void)memory.write(Gpa{0x200000}, tables.bytes);
  const auto found = locate_kernel(memory, std::nullopt, nullptr);
  ASSERT_FALSE(found);
  EXPECT_NE(found.error().message().find("linux_banner"), std::string::npos) << found.error().message();
}

}  // namespace
}  // namespace furnace::guest
