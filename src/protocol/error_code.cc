#include "protocol/error_code.h"

#include <algorithm>
#include <array>
#include <utility>

namespace furnace::protocol {
namespace {

constexpr std::array kCodes{
    std::pair{Errc::Failed, wire::FAILED},
    std::pair{Errc::Invalid, wire::INVALID},
    std::pair{Errc::NotFound, wire::NOT_FOUND},
    std::pair{Errc::Unmapped, wire::NOT_MAPPED},
    std::pair{Errc::Unavailable, wire::UNAVAILABLE},
    std::pair{Errc::Denied, wire::DENIED},
    std::pair{Errc::Busy, wire::BUSY},
    std::pair{Errc::Gone, wire::GONE},
};

}  // namespace

wire::ErrorCode code_of(Errc kind) {
  const auto* const found =
      std::find_if(kCodes.begin(), kCodes.end(), [&](const auto& each) { return each.first == kind; });
  return found != kCodes.end() ? found->second : wire::FAILED;
}

Errc kind_of(wire::ErrorCode code) {
  const auto* const found =
      std::find_if(kCodes.begin(), kCodes.end(), [&](const auto& each) { return each.second == code; });
  return found != kCodes.end() ? found->first : Errc::Failed;
}

}  // namespace furnace::protocol
