// The native half of `fe`: module _furnace, whose functions are made from the call table.
#pragma once

#include "app/runtime.h"
#include "python/host.h"

namespace furnace::app {

/// Makes module `_furnace` over `runtime`, which must outlive the interpreter's use of it. `app` is the app's
/// id. Returns what is to be called, on any thread, when the runtime has come to its end.
[[nodiscard]] std::function<void()> add_frontend_module(Runtime& runtime, const std::string& app);

}  // namespace furnace::app
