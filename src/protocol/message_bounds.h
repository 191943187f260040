// What a message of a peer may hold, looked at on the wire before it is parsed: a parser makes an object of
// every two bytes that say "an empty sub-message", and keeps what it does not know.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string_view>
#include <vector>

#include "facilities.pb.h"
#include "vmi.pb.h"

namespace furnace::protocol {

/// Why a message is not parsed.
enum class Flaw : uint8_t { None, Malformed, Bytes, Messages, Fields, Unknown, Depth };
/// "holds too many sub-messages", for the peer and the log.
[[nodiscard]] std::string_view to_text(Flaw flaw);

/// The most that one message may hold, itself and all in it together.
struct Bounds {
  size_t bytes;
  size_t messages;  ///< sub-messages
  size_t fields;    ///< of all kinds; each element of a packed field counts
  size_t unknown;   ///< fields that this version does not know
  int depth;        ///< of sub-messages in each other
};

/// The wire form of one type of message, as far as counting needs it. Made once, used for each message.
class MessageBounds {
 public:
  MessageBounds(const google::protobuf::Descriptor& type, const Bounds& most);

  /// Walks over a message once, as far as it is well, and allocates nothing. A message without a flaw can
  /// still be one that the parser refuses (its texts are not looked at), but not one that costs much.
  [[nodiscard]] Flaw check(std::span<const std::byte> message) const;

 private:
  struct Field {
    uint8_t wire;                ///< its wire type
    bool may_be_packed = false;  ///< then the elements' wire type is `wire`
    int16_t type = -1;           ///< of a sub-message: in types_
  };
  static constexpr uint8_t kUnknown = 0xff;
  using Type = std::vector<Field>;  // by number
  class Walk;

  int16_t add(const google::protobuf::Descriptor& type,
              std::map<const google::protobuf::Descriptor*, int16_t>& known);

  std::vector<Type> types_;
  Bounds most_;
};

/// Parses a message of a peer within the bounds of its type. After a flaw `message` is undefined.
[[nodiscard]] Flaw parse(std::string_view bytes, wire::VmiMessage& message);
[[nodiscard]] Flaw parse(std::string_view bytes, facilities::FacMessage& message);
[[nodiscard]] Flaw parse(std::string_view bytes, facilities::BeMsg& message);

}  // namespace furnace::protocol
