#include "sandbox/policy/policy.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "base/printable.h"
#include "base/text.h"

namespace furnace::policy {

std::string RulePlace::text() const {
  return fmt::format("{}:{}:{}", printable(file), line, column);
}

bool Condition::holds(uint64_t of_call) const {
  const uint64_t seen = of_call & mask;
  switch (compare) {
    case Compare::Equal:
      return seen == value;
    case Compare::NotEqual:
      return seen != value;
    case Compare::Less:
      return seen < value;
    case Compare::LessOrEqual:
      return seen <= value;
    case Compare::Greater:
      return seen > value;
    case Compare::GreaterOrEqual:
      return seen >= value;
  }
  return false;
}

bool PathTest::matches(std::string_view path) const {
  const size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return false;
  const std::string_view directory = path.substr(0, std::max<size_t>(slash, 1));
  switch (kind) {
    case Kind::Directory:
      return directory == text;
    case Kind::Below:
      return directory.starts_with(text);
    case Kind::Name:
      return path.substr(slash + 1) == text;
    case Kind::Exact:
      return path == text;
  }
  return false;
}

bool Verdict::allows(const std::array<uint64_t, 6>& arguments) const {
  return always || std::any_of(integers.begin(), integers.end(), [&](const IntegerTest& test) {
           return std::all_of(test.begin(), test.end(),
                              [&](const Condition& each) { return each.holds(arguments.at(each.argument)); });
         });
}

bool Verdict::allows_path(std::string_view path) const {
  return always ||
         std::any_of(paths.begin(), paths.end(), [&](const PathTest& test) { return test.matches(path); });
}

bool Verdict::allows_address(const AddressTest& address) const {
  return always || std::find(addresses.begin(), addresses.end(), address) != addresses.end();
}

Result<AddressTest> AddressTest::parse(std::string_view text) {
  const auto endpoint = parse_endpoint("address", text, {0, UINT16_MAX});
  if (!endpoint) return fail(Errc::Invalid, "'{}': expected ADDRESS:PORT", text);
  const std::string host(without_brackets(endpoint->host));
  const bool bracketed = host.size() != endpoint->host.size();
  AddressTest test;
  test.port = endpoint->port;
  if (bracketed && ::inet_pton(AF_INET6, host.c_str(), test.address.data()) == 1) return test;
  test.address = {};
  test.address[10] = test.address[11] = UINT8_MAX;
  if (!bracketed && ::inet_pton(AF_INET, host.c_str(), test.address.data() + 12) == 1) return test;
  return fail(Errc::Invalid, "'{}': expected an IP address, and that of version 6 in [ ]", text);
}

std::optional<AddressTest> AddressTest::of(std::span<const std::byte> socket_address) {
  AddressTest test;
  const auto family = load<uint16_t>(socket_address, 0);
  const auto in_network_order = load<uint16_t>(socket_address, offsetof(sockaddr_in, sin_port));
  if (!family || !in_network_order) return std::nullopt;
  test.port = ntohs(*in_network_order);
  const auto copy = [&](size_t from, size_t size, size_t to) {
    if (socket_address.size() < from + size) return false;
    std::memcpy(test.address.data() + to, socket_address.data() + from, size);
    return true;
  };
  test.address[10] = test.address[11] = UINT8_MAX;
  if (*family == AF_INET && copy(offsetof(sockaddr_in, sin_addr), 4, 12)) return test;
  if (*family == AF_INET6 && copy(offsetof(sockaddr_in6, sin6_addr), 16, 0)) return test;
  return std::nullopt;
}

std::string AddressTest::text() const {
  std::array<char, INET6_ADDRSTRLEN> host{};
  constexpr std::array<uint8_t, 12> mapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, UINT8_MAX, UINT8_MAX};
  const bool four = std::equal(mapped.begin(), mapped.end(), address.begin());
  ::inet_ntop(four ? AF_INET : AF_INET6, address.data() + (four ? mapped.size() : 0), host.data(),
              host.size());
  return four ? fmt::format("{}:{}", host.data(), port) : fmt::format("[{}]:{}", host.data(), port);
}

void Policy::allow_address(Level level, const AddressTest& address) {
  at(level, SYS_connect).addresses.push_back(address);
}

void Policy::add(const Policy& other) {
  const auto append = [](auto& to, const auto& from) {
    for (const auto& each : from)
      if (std::find(to.begin(), to.end(), each) == to.end()) to.push_back(each);
  };
  for (const Level level : kLevels)
    for (const auto& [number, more] : other.verdicts(level)) {
      Verdict& verdict = at(level, number);
      verdict.always = verdict.always || more.always;
      append(verdict.integers, more.integers);
      append(verdict.paths, more.paths);
      append(verdict.addresses, more.addresses);
    }
}

const Verdict& Policy::verdict(Level level, uint32_t number) const {
  static const Verdict denied;
  const auto& of_level = verdicts_.at(static_cast<size_t>(level));
  const auto found = of_level.find(number);
  return found != of_level.end() ? found->second : denied;
}

}  // namespace furnace::policy
