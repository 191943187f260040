// The policy language: what rules mean, and what is said of those that mean nothing.
#include <sys/syscall.h>

#include "sandbox/policy/filter.h"
#include "sandbox/policy/policy_parser.h"
#include "sandbox/policy/policy_text.h"
#include "support.h"

namespace furnace::policy {
namespace {

using furnace::test::message_of;
using furnace::test::take;

const ReadFile kNoFiles = [](const std::filesystem::path& path) -> Result<std::string> {
  return fail(Errc::NotFound, "{}: no such file", path.string());
};

ParsedPolicy parse(std::string_view text) {
  return take(parse_policy(text, "p", kNoFiles));
}
std::string refusal(std::string_view text) {
  return message_of(parse_policy(text, "p", kNoFiles));
}
bool warns(std::string_view text, std::string_view part) {
  for (const Warning& warning : parse(text).warnings)
    if (warning.text.find(part) != std::string::npos) return true;
  return false;
}

constexpr std::array<uint64_t, 6> kZero{};
bool allowed(const ParsedPolicy& parsed, Level level, uint32_t number,
             std::array<uint64_t, 6> arguments = kZero) {
  return parsed.policy.verdict(level, number).allows(arguments);
}

TEST(Policy, LevelsOfRules) {
  const auto parsed = parse(
      "ALLOW read\n"
      "A TRACE write REG_PTR\n"
      "A TRACE close\n1 TRACE close\n"
      "0 TRACE getpid  REG_INT # comment\n"
      "1 TRACE getuid\n");
  struct Row {
    uint32_t number;
    bool start, established;
  };
  for (const Row& row :
       {Row{SYS_read, true, true}, Row{SYS_write, true, false}, Row{SYS_close, true, true},
        Row{SYS_getpid, true, false}, Row{SYS_getuid, false, true}, Row{SYS_fork, false, false}}) {
    EXPECT_EQ(allowed(parsed, Level::Start, row.number), row.start) << row.number;
    EXPECT_EQ(allowed(parsed, Level::Established, row.number), row.established) << row.number;
  }
  EXPECT_TRUE(parsed.warnings.empty());
}

TEST(Policy, IntegersAreComparedWithTheDecidingArgumentAsTheKernelSeesIt) {
  const auto parsed = parse("A TEST_ARGS ioctl {\n REG_INT:module_termios.TCGETS\n REG_INT:21523\n}\n");
  EXPECT_TRUE(allowed(parsed, Level::Start, SYS_ioctl, {7, 0x5401, 0, 0, 0, 0}));
  EXPECT_TRUE(allowed(parsed, Level::Established, SYS_ioctl, {0, 0xffff'0000'0000'5413, 0, 0, 0, 0}));
  EXPECT_FALSE(allowed(parsed, Level::Start, SYS_ioctl, {0x5401, 0x5412, 0x5401, 0, 0, 0}));
}

TEST(Policy, ArgumentsHaveNamesMasksAndComparisons) {
  const auto parsed = parse(
      "0 TEST_ARGS mmap {\n REG_INT:prot&PROT_EXEC=0,flags&MAP_ANONYMOUS!=0\n}\n"
      "A TEST_ARGS setsockopt {\n REG_INT:arg1=SOL_SOCKET,arg2<=9\n}\n"
      "A TEST_ARGS madvise {\n REG_INT:MADV_DONTNEED\n REG_INT:advice=-1\n}\n");
  EXPECT_TRUE(allowed(parsed, Level::Start, SYS_mmap, {0, 4096, 3, 0x22, 0, 0}));
  EXPECT_FALSE(allowed(parsed, Level::Start, SYS_mmap, {0, 4096, 7, 0x22, 0, 0}));
  EXPECT_FALSE(allowed(parsed, Level::Start, SYS_mmap, {0, 4096, 3, 0x2, 0, 0}));
  EXPECT_FALSE(allowed(parsed, Level::Established, SYS_mmap, {0, 4096, 3, 0x22, 0, 0}));
  EXPECT_TRUE(allowed(parsed, Level::Start, SYS_setsockopt, {3, 1, 9, 0, 0, 0}));
  EXPECT_FALSE(allowed(parsed, Level::Start, SYS_setsockopt, {3, 1, 10, 0, 0, 0}));
  EXPECT_TRUE(allowed(parsed, Level::Start, SYS_madvise, {0, 0, UINT32_MAX, 0, 0, 0}));
}

TEST(Policy, ArgumentsAreComparedAsWideAsTheKernelTakesThem) {
  constexpr uint64_t above = 1ULL << 32;
  const auto parsed = parse(
      "A TEST_ARGS execve {\n REG_INT:envp=0\n}\n"
      "A TEST_ARGS bpf {\n REG_INT:size=8\n}\n"
      "A TEST_ARGS fallocate {\n REG_INT:offset=0,mode=3\n}\n");
  EXPECT_TRUE(allowed(parsed, Level::Start, SYS_execve, {1, 2, 0, 0, 0, 0}));
  EXPECT_FALSE(allowed(parsed, Level::Start, SYS_execve, {1, 2, above, 0, 0, 0}));
  EXPECT_TRUE(allowed(parsed, Level::Start, SYS_bpf, {0, 1, above + 8, 0, 0, 0}));
  EXPECT_TRUE(allowed(parsed, Level::Start, SYS_fallocate, {3, above + 3, 0, 9, 0, 0}));
  EXPECT_FALSE(allowed(parsed, Level::Start, SYS_fallocate, {3, 3, above, 9, 0, 0}));
}

TEST(Policy, PathTestsHoldForAllCallsThatReachTheSame) {
  const auto parsed = parse(
      "A TEST_ARGS open {\n REG_PTR:dirname|/etc\n REG_PTR:dirname_glob|/usr/lib\n"
      " REG_PTR:basename|notes\n REG_PTR:exactpath|/a b#c\n}\n");
  for (const uint32_t call : {SYS_open, SYS_openat, SYS_openat2, SYS_creat}) {
    const Verdict& verdict = parsed.policy.verdict(Level::Established, call);
    for (const char* path : {"/etc/passwd", "/usr/lib/x", "/usr/lib/deep/er", "/home/notes", "/a b#c"})
      EXPECT_TRUE(verdict.allows_path(path)) << call << path;
    for (const char* path :
         {"/etc/ssl/key", "/etc", "/usr/share/x", "/home/notes2", "/a b", "", "etc/passwd"})
      EXPECT_FALSE(verdict.allows_path(path)) << call << path;
  }
  EXPECT_TRUE(parsed.policy.verdict(Level::Start, SYS_stat).is_denied());
}

TEST(Policy, FilesInTheRootHaveItAsTheirDirectory) {
  const auto parsed = parse("A TEST_ARGS stat {\n REG_PTR:dirname|/\n}\n");
  EXPECT_TRUE(parsed.policy.verdict(Level::Start, SYS_statx).allows_path("/app.py"));
  EXPECT_FALSE(parsed.policy.verdict(Level::Start, SYS_statx).allows_path("/etc/x"));
}

TEST(Policy, ErrorsInsteadOfTheEnd) {
  const auto parsed =
      parse("A ERRNO socket EPERM\nA TEST_ARGS open ERRNO:ENOENT {\n REG_PTR:exactpath|/x\n}\n");
  EXPECT_EQ(parsed.policy.verdict(Level::Start, SYS_socket).error_number, EPERM);
  EXPECT_EQ(parsed.policy.verdict(Level::Established, SYS_openat2).error_number, ENOENT);
}

TEST(Policy, GroupsAndIncludes) {
  const ReadFile read = [](const std::filesystem::path& path) -> Result<std::string> {
    if (path == "dir/base.policy") return "GROUP memory {\n brk mmap\n munmap # all\n}\nALLOW @memory\n";
    return fail(Errc::NotFound, "{}: no such file", path.string());
  };
  const auto parsed = take(parse_policy("INCLUDE base.policy\nALLOW read\n", "dir/p", read));
  for (const uint32_t call : {SYS_brk, SYS_mmap, SYS_munmap, SYS_read})
    EXPECT_TRUE(allowed(parsed, Level::Start, call));
  EXPECT_EQ(message_of(parse_policy("\nINCLUDE other", "dir/p", read)), "dir/p:2:1: dir/other: no such file");
}

TEST(Policy, IncludesOfThemselvesEnd) {
  const ReadFile itself = [](const std::filesystem::path&) -> Result<std::string> { return "INCLUDE p"; };
  EXPECT_NE(message_of(parse_policy("INCLUDE p", "p", itself)).find("more than 8 files"), std::string::npos);
}

TEST(Policy, FilesThatIncludeEachOtherManyTimesAndGroupsThatDoubleStaySmall) {
  const ReadFile many = [](const std::filesystem::path&) -> Result<std::string> {
    return "INCLUDE p\nINCLUDE p\nINCLUDE p\n";
  };
  EXPECT_NE(message_of(parse_policy("INCLUDE p", "p", many)).find("more than"), std::string::npos);
  const ReadFile broad = [](const std::filesystem::path&) -> Result<std::string> { return "ALLOW read\n"; };
  std::string includes;
  for (int i = 0; i < 200; ++i) includes += "INCLUDE x\n";
  EXPECT_NE(message_of(parse_policy(includes, "p", broad)).find("more than 100 files"), std::string::npos);
  std::string groups = "GROUP g0 {\n read write\n}\n";
  for (int i = 1; i < 60; ++i) groups += fmt::format("GROUP g{} {{\n @g{} @g{}\n}}\n", i, i - 1, i - 1);
  EXPECT_TRUE(allowed(parse(groups + "ALLOW @g59\n"), Level::Start, SYS_read));
  EXPECT_EQ(refusal("ALLOW " + std::string(100'000, 'x')).find("did you mean"), std::string::npos);
}

TEST(Policy, ErrorsNameFileLineColumnAndWhatWasExpected) {
  struct Row {
    const char *text, *message;
  };
  for (const Row& row : {
           Row{"ALLOW opne", "p:1:7: expected the name of a system call, not 'opne'; did you mean 'open'?"},
           Row{"\n  PERMIT read", "p:2:3: expected ALLOW, A, 0, 1, GROUP or INCLUDE, not 'PERMIT'"},
           Row{"A WATCH read", "p:1:3: expected TRACE, TEST_ARGS or ERRNO, not 'WATCH'"},
           Row{"ALLOW read write", "p:1:12: expected the end of the line, not 'write'"},
           Row{"ALLOW", "p:1:6: expected the name of a system call, not the end of the line"},
           Row{"A TEST_ARGS read", "p:1:17: expected '{'"},
           Row{"A TEST_ARGS ioctl {\n REG_INT:1", "p:1:1: '{' without '}' until the end of the file"},
           Row{"A TEST_ARGS ioctl {\n REG_INT:TCFOO\n}",
               "p:2:2: expected a number or the name of a constant, not 'TCFOO'"},
           Row{"A TEST_ARGS ioctl {\n REG_INT:what=1\n}",
               "p:2:2: ioctl has no argument 'what'; arg0 to arg5 always work"},
           Row{"A TEST_ARGS read {\n REG_INT:1\n}",
               "p:2:2: say which argument of read (arg0=VALUE to arg5=VALUE)"},
           Row{"A TEST_ARGS open {\n REG_PTR:dir|/x\n}",
               "p:2:2: expected dirname, dirname_glob, basename, exactpath or address, not 'dir'"},
           Row{"A TEST_ARGS open {\n REG_PTR:dirname\n}", "p:2:2: expected '|' and a path after dirname"},
           Row{"A ERRNO read EWHAT", "p:1:14: expected an error (EACCES), not 'EWHAT'"},
           Row{"ALLOW @none", "p:1:7: no group '@none' was defined before"},
       })
    EXPECT_EQ(refusal(row.text), row.message);
}

TEST(Policy, RulesThatCantMatchAreReported) {
  EXPECT_TRUE(warns("A TEST_ARGS open {\n REG_PTR:exactpath|etc/x\n}", "paths are absolute"));
  EXPECT_TRUE(warns("A TEST_ARGS open {\n REG_PTR:exactpath|/etc/../x\n}", "without links, dots"));
  EXPECT_TRUE(warns("A TEST_ARGS open {\n REG_PTR:dirname|/etc/\n}", "end without a slash"));
  EXPECT_TRUE(warns("A TEST_ARGS open {\n REG_PTR:basename|a/b\n}", "holds no '/'"));
  EXPECT_TRUE(warns("A TEST_ARGS open {\n}", "can't match"));
  EXPECT_TRUE(warns("A TEST_ARGS mmap {\n REG_INT:prot&1=2\n}", "can't match"));
  EXPECT_TRUE(warns("ALLOW sigreturn", "does not exist on x86-64"));
  EXPECT_TRUE(warns("ALLOW read\nA TRACE read", "changes nothing"));
  EXPECT_TRUE(warns("A TEST_ARGS open {\n REG_PTR:dirname|/x\n}\nALLOW openat", "of no use"));
  EXPECT_TRUE(warns("GROUP g {\n read\n}", "is not used"));
}

TEST(Policy, WrittenAsTextIsTheSame) {
  const auto parsed = parse(
      "ALLOW read\n0 TRACE getpid\n1 TRACE getuid\nA TEST_ARGS ioctl {\n REG_INT:0x5401\n "
      "REG_INT:request&0xff00=0x100,fd=3\n}\n"
      "0 TEST_ARGS open ERRNO:ENOENT {\n REG_PTR:dirname|/etc\n}\nA TEST_ARGS open {\n "
      "REG_PTR:basename|x\n}\nA ERRNO socket EPERM\n"
      "A TEST_ARGS setsockopt {\n REG_INT:arg1!=5\n}\n");
  const auto again = parse(to_text(parsed.policy));
  EXPECT_EQ(again.policy, parsed.policy) << to_text(parsed.policy);
  EXPECT_TRUE(again.warnings.empty());
}

TEST(Policy, CompilesToAFilterThatIsSmall) {
  const auto filter =
      take(compile(parse("ALLOW read\nALLOW write\nA TEST_ARGS ioctl {\n REG_INT:TCGETS\n}\n").policy));
  EXPECT_GT(filter.size(), 4U);
  EXPECT_LT(filter.size(), 60U);
}

TEST(Policy, AddressesAreOnlyThoseOfConnect) {
  const auto policy =
      test::take(parse_policy(
                     "A TEST_ARGS connect {\n REG_PTR:address|127.0.0.1:5561\n REG_PTR:address|[::1]:80\n}\n",
                     "p", kNoFiles))
          .policy;
  const Verdict& verdict = policy.verdict(Level::Start, 42);
  EXPECT_TRUE(verdict.allows_address(test::take(AddressTest::parse("127.0.0.1:5561"))));
  EXPECT_TRUE(verdict.allows_address(test::take(AddressTest::parse("[::1]:80"))));
  EXPECT_FALSE(verdict.allows_address(test::take(AddressTest::parse("127.0.0.1:5562"))));
  EXPECT_FALSE(verdict.allows_address(test::take(AddressTest::parse("127.0.0.2:5561"))));
  EXPECT_NE(to_text(policy).find("REG_PTR:address|[::1]:80"), std::string::npos);
  EXPECT_FALSE(parse_policy("A TEST_ARGS bind {\n REG_PTR:address|127.0.0.1:1\n}\n", "p", kNoFiles));
  for (const char* bad :
       {"", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "::1:80", "[127.0.0.1]:1", "host:1"})
    EXPECT_FALSE(AddressTest::parse(bad)) << bad;
}

TEST(Policy, AnAddressInMemoryIsReadWithinItsBounds) {
  constexpr std::array<uint8_t, 16> four{2, 0, 0x15, 0xb9, 127, 0, 0, 1};
  const auto bytes = std::as_bytes(std::span(four));
  EXPECT_EQ(AddressTest::of(bytes), test::take(AddressTest::parse("127.0.0.1:5561")));
  for (size_t size = 0; size < 8; ++size) EXPECT_FALSE(AddressTest::of(bytes.first(size))) << size;
  constexpr std::array<uint8_t, 16> local{1, 0, 'a'};
  EXPECT_FALSE(AddressTest::of(std::as_bytes(std::span(local))));
}

}  // namespace
}  // namespace furnace::policy
