// A system call policy (docs/policies.md, wire.md section 7): what a program may do before and after it is
// established.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace furnace::policy {

/// Start: until the program tries to open ESTABLISHED. From then on Established, for its whole process tree.
enum class Level : uint8_t { Start = 0, Established = 1 };
inline constexpr std::array kLevels = {Level::Start, Level::Established};

/// Where a rule is written, for messages.
struct RulePlace {
  std::string file;
  uint32_t line = 0, column = 0;
  [[nodiscard]] std::string text() const;  ///< "app.policy:12:3"
};

/// A comparison of one argument: (argument & mask) `compare` value.
struct Condition {
  enum class Compare : uint8_t { Equal, NotEqual, Less, LessOrEqual, Greater, GreaterOrEqual };
  uint32_t argument = 0;  ///< 0 to 5
  uint64_t mask = UINT64_MAX;
  Compare compare = Compare::Equal;
  uint64_t value = 0;
  [[nodiscard]] bool holds(uint64_t of_call) const;
  auto operator<=>(const Condition&) const = default;
};

/// All of them must hold.
using IntegerTest = std::vector<Condition>;

/// About the path of the object a call reaches, as its root sees it: absolute, without links and dots.
struct PathTest {
  enum class Kind : uint8_t {
    Directory,  ///< the object is in this directory
    Below,      ///< its directory begins with this text
    Name,       ///< its last component
    Exact,
  };
  Kind kind = Kind::Exact;
  std::string text;
  [[nodiscard]] bool matches(std::string_view path) const;
  auto operator<=>(const PathTest&) const = default;
};

/// About the address that a socket is connected to. IPv4 and IPv6 over TCP or UDP; no other.
struct AddressTest {
  std::array<uint8_t, 16> address{};  ///< IPv4 as an IPv4-mapped one (RFC 4291, 2.5.5.2)
  uint16_t port = 0;
  /// "127.0.0.1:5561", "[::1]:5561".
  [[nodiscard]] static Result<AddressTest> parse(std::string_view text);
  /// Of a sockaddr in a program's memory; nothing for other families.
  [[nodiscard]] static std::optional<AddressTest> of(std::span<const std::byte> socket_address);
  [[nodiscard]] std::string text() const;
  auto operator<=>(const AddressTest&) const = default;
};

/// What a policy says to a system call at one level.
struct Verdict {
  bool always = false;
  std::vector<IntegerTest> integers;   ///< allowed if any of these
  std::vector<PathTest> paths;         ///< or any of these
  std::vector<AddressTest> addresses;  ///< of connect: or any of these
  /// What a call gets that is not allowed; otherwise it is a violation, and the partition ends.
  std::optional<int> error_number;

  [[nodiscard]] bool allows(const std::array<uint64_t, 6>& arguments) const;
  [[nodiscard]] bool allows_path(std::string_view path) const;
  [[nodiscard]] bool allows_address(const AddressTest& address) const;
  [[nodiscard]] bool is_denied() const {
    return !always && integers.empty() && paths.empty() && addresses.empty();
  }
  auto operator<=>(const Verdict&) const = default;
};

class Policy {
 public:
  /// What it says to system call `number`; calls without a rule are denied.
  [[nodiscard]] const Verdict& verdict(Level level, uint32_t number) const;
  [[nodiscard]] Verdict& at(Level level, uint32_t number) {
    return verdicts_.at(static_cast<size_t>(level))[number];
  }
  [[nodiscard]] const std::map<uint32_t, Verdict>& verdicts(Level level) const {
    return verdicts_.at(static_cast<size_t>(level));
  }
  /// Lets connect reach an address.
  void allow_address(Level level, const AddressTest& address);
  /// Allows all that the other allows as well.
  void add(const Policy& other);
  /// Whether being established makes a difference.
  [[nodiscard]] bool has_levels() const { return verdicts_[0] != verdicts_[1]; }
  bool operator==(const Policy&) const = default;

 private:
  std::array<std::map<uint32_t, Verdict>, 2> verdicts_;  ///< by level
};

}  // namespace furnace::policy
