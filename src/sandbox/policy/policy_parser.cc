#include "sandbox/policy/policy_parser.h"

#include <seccomp.h>
#include <sys/syscall.h>

#include <algorithm>
#include <set>

#include "base/file.h"
#include "base/printable.h"
#include "base/text.h"
#include "guest/linux/syscalls.h"
#include "sandbox/policy/condition_parser.h"
#include "sandbox/policy/constants.h"
#include "sandbox/policy/path_calls.h"
#include "sandbox/policy/policy_line.h"

namespace furnace::policy {
namespace {

constexpr size_t kMaxFile = 1 << 20;
constexpr size_t kMaxRules = 10'000;
constexpr int kMaxIncludes = 8;  // one in another
constexpr int kMaxFiles = 100;   // in all

/// The system call whose name is most like `name`, for a hint.
std::string nearest_call(std::string_view name) {
  constexpr size_t longest = 32;  // no call's name is longer
  if (name.size() > longest) return {};
  const auto distance = [&](std::string_view other) {
    std::vector<size_t> row(other.size() + 1);
    for (size_t j = 0; j < row.size(); ++j) row[j] = j;
    for (size_t i = 1; i <= name.size(); ++i) {
      size_t diagonal = std::exchange(row[0], i);
      for (size_t j = 1; j < row.size(); ++j) {
        const size_t changed = diagonal + (name[i - 1] == other[j - 1] ? 0 : 1);
        diagonal = row[j];
        row[j] = std::min({row[j] + 1, row[j - 1] + 1, changed});
      }
    }
    return row.back();
  };
  constexpr uint32_t last = 462;
  std::string best;
  size_t smallest = 3;
  for (uint32_t number = 0; number <= last; ++number)
    if (const std::string call = guest::syscall_name(number); distance(call) < smallest) {
      smallest = distance(call);
      best = call;
    }
  return best;
}

class Parser {
 public:
  explicit Parser(const ReadFile& read) : read_(read) {}

  Status parse(std::string_view text, const std::string& file, int depth) {
    if (text.size() > kMaxFile) return fail(Errc::Invalid, "{}: more than {} bytes", file, kMaxFile);
    uint32_t number = 0;
    for (const std::string_view each : lines(text)) {
      PolicyLine line(each, file, ++number);
      if (line.at_end()) continue;
      FURNACE_CHECK(open_block_ ? in_block(line) : statement(line, depth));
    }
    if (open_block_)
      return fail(Errc::Invalid, "{}: '{{' without '}}' until the end of the file",
                  open_block_->place.text());
    return {};
  }

  ParsedPolicy finish() {
    for (const auto& [name, group] : groups_)
      if (!group.used) warn(group.place, fmt::format("group '{}' is not used", name));
    return std::move(parsed_);
  }

 private:
  /// Between '{' and '}'.
  struct Block {
    RulePlace place;
    std::string group;            ///< its name; of tests: empty
    std::vector<uint32_t> calls;  ///< of tests: which they are for
    std::string call;             ///< as the rule names it
    std::vector<Level> levels;
    size_t lines = 0;
  };
  struct Group {
    RulePlace place;
    std::vector<uint32_t> calls;
    bool used = false;
  };

  void warn(RulePlace place, std::string text) {
    parsed_.warnings.push_back({std::move(place), std::move(text)});
  }

  Status statement(PolicyLine& line, int depth) {
    if (parsed_.rules.size() >= kMaxRules) return line.error("more than {} rules", kMaxRules);
    const RulePlace place = line.place();
    const std::string whole(line.whole());
    const std::string_view first = line.peek();
    if (first == "INCLUDE") return include(line, depth);
    if (first == "GROUP") return group(line);
    std::vector<Level> levels(kLevels.begin(), kLevels.end());
    const bool named_level = first == "A" || first == "0" || first == "1";
    if (named_level) {
      line.word();
      if (first == "0") levels = {Level::Start};
      if (first == "1") levels = {Level::Established};
    }
    const std::string_view verb = line.peek();
    const bool for_all = first == "A";
    if (verb == "ALLOW" && !named_level) {
      line.word();
      FURNACE_TRY(const Calls calls, take_calls(line));
      allow(calls.numbers, levels, place, whole);
      note(place, whole, calls.name);
      return nothing_more(line);
    }
    if (!named_level) return line.error("expected ALLOW, A, 0, 1, GROUP or INCLUDE, not {}", shown(verb));
    if (verb != "TRACE" && verb != "ERRNO" && verb != "TEST_ARGS")
      return line.error("expected TRACE, TEST_ARGS or ERRNO, not {}", shown(verb));
    line.word();
    if (verb == "TRACE") {
      FURNACE_TRY(const Calls calls, take_calls(line));
      if (line.peek() == "REG_PTR" || line.peek() == "REG_INT") line.word();
      // A mere "A TRACE" ends with the start (wire.md section 7).
      allow(calls.numbers, for_all ? std::vector{Level::Start} : levels, place, whole);
      note(place, whole, calls.name);
      return nothing_more(line);
    }
    if (verb == "ERRNO") return answer(line, levels, place, whole);
    return tests(line, levels, place, whole);
  }

  void note(const RulePlace& place, std::string text, std::string call) {
    parsed_.rules.push_back({place, std::move(text), std::move(call)});
  }

  static Status nothing_more(const PolicyLine& line) {
    if (line.at_end()) return {};
    return line.error("expected the end of the line, not {}", shown(line.peek()));
  }

  struct Calls {
    std::string name;
    std::vector<uint32_t> numbers;
  };

  /// One system call by name; empty if the name is another architecture's.
  Result<Calls> take_call(PolicyLine& line) {
    const RulePlace place = line.place();
    const std::string name(line.peek());
    if (name.empty()) return line.error("expected the name of a system call, not the end of the line");
    if (const auto number = guest::syscall_number(name)) {
      line.word();
      return Calls{name, {*number}};
    }
    if (seccomp_syscall_resolve_name(name.c_str()) != __NR_SCMP_ERROR) {
      warn(place, fmt::format("'{}' does not exist on x86-64: the rule can't match", name));
      line.word();
      return Calls{name, {}};
    }
    const std::string hint = nearest_call(name);
    return line.error("expected the name of a system call, not {}{}", shown(name),
                      hint.empty() ? "" : fmt::format("; did you mean '{}'?", hint));
  }

  Result<Calls> take_calls(PolicyLine& line) {
    if (!line.peek().starts_with('@')) return take_call(line);
    const std::string name(line.peek());
    const auto found = groups_.find(name.substr(1));
    if (found == groups_.end()) return line.error("no group {} was defined before", shown(name));
    found->second.used = true;
    line.word();
    return Calls{name, found->second.calls};
  }

  void allow(const std::vector<uint32_t>& calls, const std::vector<Level>& levels, const RulePlace& place,
             const std::string& whole) {
    for (const uint32_t call : calls) {
      bool changes = false;
      for (const Level level : levels) {
        Verdict& verdict = parsed_.policy.at(level, call);
        changes = changes || !verdict.always;
        if (!verdict.integers.empty() || !verdict.paths.empty())
          warn(place,
               fmt::format("allows every {}: the tests of it are of no use", guest::syscall_name(call)));
        verdict.always = true;
      }
      if (!changes) warn(place, fmt::format("'{}' changes nothing: allowed before", whole));
    }
  }

  Status answer(PolicyLine& line, const std::vector<Level>& levels, const RulePlace& place,
                const std::string& whole) {
    FURNACE_TRY(const Calls calls, take_calls(line));
    const auto number = error_constant(line.peek());
    if (!number) return line.error("expected an error (EACCES), not {}", shown(line.peek()));
    line.word();
    for (const uint32_t call : with_family(calls.numbers))
      for (const Level level : levels) parsed_.policy.at(level, call).error_number = *number;
    note(place, whole, calls.name);
    return nothing_more(line);
  }

  Status tests(PolicyLine& line, const std::vector<Level>& levels, const RulePlace& place,
               const std::string& whole) {
    Block block{place, {}, {}, {}, levels, 0};
    FURNACE_TRY(const Calls calls, take_call(line));
    block.calls = calls.numbers;
    block.call = calls.name;
    if (line.peek().starts_with("ERRNO:")) {
      const auto number = error_constant(line.peek().substr(6));
      if (!number) return line.error("expected an error (ERRNO:EACCES), not {}", shown(line.peek()));
      line.word();
      for (const uint32_t call : with_family(block.calls))
        for (const Level level : levels) parsed_.policy.at(level, call).error_number = *number;
    }
    note(place, whole.substr(0, whole.find('{')), calls.name);
    return open(line, std::move(block));
  }

  Status open(PolicyLine& line, Block block) {
    if (line.word() != "{") return fail(Errc::Invalid, "{}: expected '{{'", line.place().text());
    FURNACE_CHECK(nothing_more(line));
    open_block_ = std::move(block);
    return {};
  }

  Status group(PolicyLine& line) {
    line.word();
    Block block{line.place(), std::string(line.peek()), {}, {}, {}, 0};
    if (block.group.empty() || block.group == "{") return line.error("expected the name of a group");
    if (groups_.contains(block.group)) return line.error("group {} is defined already", shown(block.group));
    line.word();
    return open(line, std::move(block));
  }

  Status include(PolicyLine& line, int depth) {
    const RulePlace place = line.place();
    line.word();
    const std::filesystem::path named(line.rest());
    if (named.empty()) return line.error("expected the name of a file");
    if (depth >= kMaxIncludes) return line.error("more than {} files included one in another", kMaxIncludes);
    if (++files_ > kMaxFiles) return line.error("more than {} files included", kMaxFiles);
    const auto file = std::filesystem::path(place.file).parent_path() / named;
    auto text = read_(file);
    if (!text) return fail(text.error(), place.text());
    return parse(*text, file.string(), depth + 1);
  }

  Status in_block(PolicyLine& line) {
    Block& block = *open_block_;
    if (line.peek() == "}") {
      line.word();
      if (!block.group.empty()) {
        groups_[block.group] = {block.place, block.calls, false};
      } else if (block.lines == 0) {
        warn(block.place, "no line between '{' and '}': the rule can't match");
      }
      open_block_.reset();
      return nothing_more(line);
    }
    ++block.lines;
    if (block.group.empty()) return test(line, block);
    while (!line.at_end()) {
      FURNACE_TRY(const Calls calls, take_calls(line));
      for (const uint32_t call : calls.numbers)
        if (std::find(block.calls.begin(), block.calls.end(), call) == block.calls.end())
          block.calls.push_back(call);
    }
    return {};
  }

  Status test(PolicyLine& line, const Block& block) {
    const RulePlace place = line.place();
    const std::string whole(line.whole());
    note(place, whole, block.call);
    if (line.peek().starts_with("REG_INT:")) return integer_test(line, block);
    if (line.peek().starts_with("REG_PTR:")) return path_test(line, block);
    return line.error("expected REG_INT:NUMBER, REG_PTR:KIND|PATH or '}}', not {}", shown(line.peek()));
  }

  template <typename Test>
  void add(const Block& block, const std::vector<uint32_t>& calls, std::vector<Test> Verdict::*tests,
           const Test& test, const RulePlace& place) {
    for (const uint32_t call : calls)
      for (const Level level : block.levels) {
        Verdict& verdict = parsed_.policy.at(level, call);
        auto& known = verdict.*tests;
        if (std::find(known.begin(), known.end(), test) != known.end()) {
          warn(place, "changes nothing: an earlier line has the same test");
          return;
        }
        if (verdict.always)
          warn(place, fmt::format("of no use: every {} is allowed", guest::syscall_name(call)));
        known.push_back(test);
      }
  }

  /// With the calls that reach the same objects.
  static std::vector<uint32_t> with_family(const std::vector<uint32_t>& calls) {
    std::set<uint32_t> all(calls.begin(), calls.end());
    for (const uint32_t call : calls)
      if (const PathCall* known = path_call(call))
        for (const PathCall& other : path_calls())
          if (other.family == known->family) all.insert(other.number);
    return {all.begin(), all.end()};
  }

  Status path_test(PolicyLine& line, const Block& block) {
    const RulePlace place = line.place();
    std::string_view text = line.rest();
    text.remove_prefix(8);
    const Cut parts = cut(text, '|');
    const std::string_view kind = parts.before, path = parts.after;
    constexpr std::array kinds = {
        std::pair{"dirname", PathTest::Kind::Directory}, std::pair{"dirname_glob", PathTest::Kind::Below},
        std::pair{"basename", PathTest::Kind::Name}, std::pair{"exactpath", PathTest::Kind::Exact}};
    if (kind == "address") return address_test(place, path, block);
    const auto found =
        std::find_if(kinds.begin(), kinds.end(), [&](const auto& row) { return row.first == kind; });
    const auto error = [&](std::string_view what) {
      return fail(Errc::Invalid, "{}: {}", place.text(), what);
    };
    if (found == kinds.end())
      return error(
          fmt::format("expected dirname, dirname_glob, basename, exactpath or address, not {}", shown(kind)));
    if (path.empty()) return error(fmt::format("expected '|' and a path after {}", kind));
    PathTest test{found->second, std::string(path)};
    const std::string why_not = cannot_match(test);
    if (!why_not.empty()) warn(place, fmt::format("'{}' can't match: {}", printable(path), why_not));
    for (const uint32_t call : block.calls)
      if (path_call(call) == nullptr)
        return error(
            fmt::format("the path of {} can't be tested: only those of open, stat, access, readlink, execve "
                        "and their kin",
                        block.call));
    add(block, with_family(block.calls), &Verdict::paths, test, place);
    return {};
  }

  Status address_test(const RulePlace& place, std::string_view text, const Block& block) {
    if (block.calls != std::vector<uint32_t>{SYS_connect})
      return fail(Errc::Invalid, "{}: the address of {} can't be tested: only that of connect", place.text(),
                  block.call);
    const auto test = AddressTest::parse(text);
    if (!test) return fail(test.error(), place.text());
    add(block, block.calls, &Verdict::addresses, *test, place);
    return {};
  }

  /// Tests see the path of the object itself.
  static std::string cannot_match(const PathTest& test) {
    if (test.kind == PathTest::Kind::Name)
      return test.text.find('/') != std::string::npos ? "a last component holds no '/'" : "";
    if (!test.text.starts_with('/')) return "paths are absolute";
    const std::string padded = test.text + "/";
    for (const std::string_view part : {"/../", "/./", "//"})
      if (padded.find(part) != std::string::npos && !(test.text.ends_with('/') && part == "//"))
        return "write paths without links, dots and double slashes";
    if (test.text.size() > 1 && test.text.ends_with('/') && test.kind != PathTest::Kind::Below)
      return "paths end without a slash";
    return "";
  }

  Status integer_test(PolicyLine& line, const Block& block) {
    const RulePlace place = line.place();
    std::string_view text = line.word();
    text.remove_prefix(8);
    FURNACE_CHECK(nothing_more(line));
    IntegerTest test;
    for (const std::string_view part : split(text, ',')) {
      auto condition = parse_condition(part, block.call);
      if (!condition) return fail(condition.error(), place.text());
      test.push_back(*condition);
      if ((condition->value & ~condition->mask) != 0)
        warn(place,
             fmt::format("'{}' can't match: the value has bits that the argument has not", printable(part)));
    }
    add(block, block.calls, &Verdict::integers, test, place);
    return {};
  }

  const ReadFile& read_;
  int files_ = 0;
  ParsedPolicy parsed_;
  std::map<std::string, Group, std::less<>> groups_;
  std::optional<Block> open_block_;
};

}  // namespace

Result<ParsedPolicy> parse_policy(std::string_view text, const std::string& file, const ReadFile& read) {
  Parser parser(read);
  FURNACE_CHECK(parser.parse(text, file, 0));
  return parser.finish();
}

Result<ParsedPolicy> load_policy(const std::filesystem::path& file) {
  const ReadFile read = [](const std::filesystem::path& path) { return read_file(path, kMaxFile); };
  auto text = read(file);
  if (!text) return fail(text.error(), "policy");
  return parse_policy(*text, file.string(), read);
}

}  // namespace furnace::policy
