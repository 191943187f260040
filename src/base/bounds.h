// The numbers that a person may write, on a command line or in a file: from where to where, and of what.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace furnace {

/// The least and the most that is allowed.
struct Bounds {
  int64_t least, most;
  std::string_view unit = {};  ///< for messages and --help: "MB"
};

/// "1 to 16777216 MB".
[[nodiscard]] std::string to_text(const Bounds& bounds);

/// `what`: the key or the option, for the error, which says what was written and what is allowed.
[[nodiscard]] tl::unexpected<Error> out_of_bounds(std::string_view what, std::string_view written,
                                                  const Bounds& bounds);

/// The number that a text is, if it is a whole one within its bounds.
[[nodiscard]] Result<int64_t> parse_number(std::string_view what, std::string_view text,
                                           const Bounds& bounds);

namespace bounds {

// Limits of partitions.
inline constexpr Bounds kCpuPercent{1, 100'000, "% of one CPU"};
inline constexpr Bounds kProcesses{1, 1 << 22, "processes and threads"};
inline constexpr Bounds kMemoryMb{1, 1 << 24, "MB"};

inline constexpr Bounds kPort{1, UINT16_MAX};
/// The next port is used too.
inline constexpr Bounds kPairOfPorts{1, UINT16_MAX - 1};

inline constexpr Bounds kPerSecond{0, 1'000'000'000, "a second (0: no limit)"};
inline constexpr Bounds kBytes{1, int64_t{1} << 50, "bytes"};
inline constexpr Bounds kMilliseconds{0, 86'400'000, "ms (0: no limit)"};

}  // namespace bounds
}  // namespace furnace
