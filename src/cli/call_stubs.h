// The calls as functions of other languages, printed from the table of calls.
#pragma once

#include <string>

namespace furnace::cli {

/// The functions of python/furnace_frontend.pyi, of `fe` and of `fe.checked`.
[[nodiscard]] std::string calls_stubs();
/// The functions of include/furnace/calls.h.
[[nodiscard]] std::string calls_header();

}  // namespace furnace::cli
