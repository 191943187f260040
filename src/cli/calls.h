// `furnace calls`: the calls of the VMI socket, out of their table.
#pragma once

#include <string>

namespace furnace::cli {

/// For a terminal: call, arguments, what it does.
[[nodiscard]] std::string calls_text();
/// The table of docs/calls.md, with the fields on the wire and the test of each call.
[[nodiscard]] std::string calls_markdown();

}  // namespace furnace::cli
