// What the exit code of a partition's program says.
#pragma once

namespace furnace::launch {

/// An app's code could not be loaded, or its class raised while its object was made: it never ran.
inline constexpr int kAppNotMade = 4;

}  // namespace furnace::launch
