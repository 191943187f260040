#include "zmtp/wire.h"

#include <algorithm>

#include "base/bytes.h"

namespace furnace::zmtp {
namespace {

enum Flags : uint8_t { kMore = 1, kLong = 2, kCommand = 4, kKnownFlags = kMore | kLong | kCommand };

constexpr uint8_t kSignatureStart = 0xff, kSignatureEnd = 0x7f;
constexpr size_t kSignatureEndAt = 9, kMajorAt = 10, kMinorAt = 11, kMechanismAt = 12, kMechanismSize = 20;
constexpr uint8_t kMajor = 3, kMinor = 1;
constexpr std::string_view kMechanism = "NULL";
constexpr size_t kShortest = 255;  // content that has its size in one byte
constexpr size_t kMaxPingContext = 16, kPingTimeToLive = 2;

uint8_t at(std::span<const std::byte> bytes, size_t place) {
  return std::to_integer<uint8_t>(bytes[place]);
}

/// A number in network order.
template <typename Number>
Number network(std::span<const std::byte> bytes) {
  Number value = 0;
  for (const std::byte each : bytes.first(sizeof(Number)))
    value = static_cast<Number>(value << 8U | std::to_integer<Number>(each));
  return value;
}

template <typename Number>
void put_network(std::string& to, Number value) {
  for (size_t left = sizeof(Number); left-- > 0;) to += static_cast<char>(value >> (8 * left) & 0xffU);
}

void put_short(std::string& to, std::string_view text) {
  to += static_cast<char>(text.size());
  to += text;
}

std::string command_frame(std::string_view name, std::string_view data) {
  std::string frame;
  put_header(frame, 1 + name.size() + data.size(), false, true);
  put_short(frame, name);
  frame += data;
  return frame;
}

/// Takes a size of type Size off `rest`, and as many bytes after it, which are returned.
template <typename Size>
std::optional<std::span<const std::byte>> take_counted(std::span<const std::byte>& rest) {
  if (rest.size() < sizeof(Size)) return std::nullopt;
  const size_t size = network<Size>(rest);
  rest = rest.subspan(sizeof(Size));
  if (rest.size() < size) return std::nullopt;
  const auto counted = rest.first(size);
  rest = rest.subspan(size);
  return counted;
}

bool equal_without_case(std::string_view left, std::string_view right) {
  return std::equal(left.begin(), left.end(), right.begin(), right.end(),
                    [](unsigned char a, unsigned char b) { return std::tolower(a) == std::tolower(b); });
}

}  // namespace

std::string greeting() {
  std::string bytes(kGreetingSize, '\0');
  bytes[0] = static_cast<char>(kSignatureStart);
  bytes[kSignatureEndAt] = static_cast<char>(kSignatureEnd);
  bytes[kMajorAt] = kMajor;
  bytes[kMinorAt] = kMinor;
  bytes.replace(kMechanismAt, kMechanism.size(), kMechanism);
  return bytes;
}

Status check_greeting(std::span<const std::byte> begun) {
  if (!begun.empty() && at(begun, 0) != kSignatureStart) return fail(Errc::Invalid, "does not speak ZMTP");
  if (begun.size() > kSignatureEndAt && at(begun, kSignatureEndAt) != kSignatureEnd)
    return fail(Errc::Invalid, "does not speak ZMTP");
  if (begun.size() > kMajorAt && at(begun, kMajorAt) < kMajor)
    return fail(Errc::Invalid, "speaks ZMTP {}, not 3", at(begun, kMajorAt));
  if (begun.size() < kMechanismAt + kMechanismSize) return {};
  if (until_nul(as_text(begun.subspan(kMechanismAt, kMechanismSize))) != kMechanism)
    return fail(Errc::Invalid, "wants another mechanism than NULL");
  return {};
}

Result<std::optional<FrameHeader>> parse_header(std::span<const std::byte> bytes) {
  if (bytes.empty()) return std::nullopt;
  const uint8_t flags = at(bytes, 0);
  if ((flags & ~kKnownFlags) != 0) return fail(Errc::Invalid, "sends a frame with flags {:#x}", flags);
  FrameHeader header{(flags & kMore) != 0, (flags & kCommand) != 0};
  if (header.command && header.more) return fail(Errc::Invalid, "sends a command in parts");
  const bool is_long = (flags & kLong) != 0;
  header.length = 1 + (is_long ? sizeof(uint64_t) : sizeof(uint8_t));
  if (bytes.size() < header.length) return std::nullopt;
  header.size = is_long ? network<uint64_t>(bytes.subspan(1)) : at(bytes, 1);
  return header;
}

void put_header(std::string& to, size_t size, bool more, bool command) {
  const bool is_long = size > kShortest;
  to += static_cast<char>((more ? kMore : 0) | (is_long ? kLong : 0) | (command ? kCommand : 0));
  if (is_long) {
    put_network(to, uint64_t{size});
  } else {
    to += static_cast<char>(size);
  }
}

Result<Command> parse_command(std::span<const std::byte> content) {
  const auto name = take_counted<uint8_t>(content);
  if (!name || name->empty()) return fail(Errc::Invalid, "sends a command without a name");
  return Command{as_text(*name), content};
}

Result<Ready> parse_ready(std::span<const std::byte> data) {
  Ready ready;
  while (!data.empty()) {
    const auto name = take_counted<uint8_t>(data);
    const auto value = name ? take_counted<uint32_t>(data) : std::nullopt;
    if (!value) return fail(Errc::Invalid, "sends READY that is cut short");
    if (equal_without_case(as_text(*name), "Socket-Type")) ready.socket_type = as_text(*value);
    if (equal_without_case(as_text(*name), "Identity")) ready.identity = as_text(*value);
  }
  if (ready.identity.size() > kMaxIdentity)
    return fail(Errc::Invalid, "has an identity of {} bytes", ready.identity.size());
  return ready;
}

std::string ready_command(std::string_view socket_type) {
  std::string data;
  put_short(data, "Socket-Type");
  put_network(data, static_cast<uint32_t>(socket_type.size()));
  data += socket_type;
  return command_frame("READY", data);
}

std::string error_command(std::string_view reason) {
  std::string data;
  put_short(data, reason.substr(0, kShortest));
  return command_frame("ERROR", data);
}

std::optional<std::string> pong_command(std::span<const std::byte> ping) {
  if (ping.size() < kPingTimeToLive || ping.size() > kPingTimeToLive + kMaxPingContext) return std::nullopt;
  return command_frame("PONG", as_text(ping.subspan(kPingTimeToLive)));
}

}  // namespace furnace::zmtp
