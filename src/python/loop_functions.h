// The functions of an event loop that a tenant's code calls, the same for apps and for backends.
#pragma once

#include <memory>
#include <string>

#include "protocol/event_loop.h"
#include "python/host.h"

namespace furnace::python {

/// Adds add_timer, remove_timer, stop_loop, log and set_log_name to a module. The loop must outlive the
/// interpreter. `name`: which the tenant's lines in the log begin with.
/// Returns what calls back into the tenant's code; SystemExit in a callback stops the loop.
std::shared_ptr<Callbacks> define_loop_functions(py::module_& module, protocol::EventLoop& loop,
                                                 const std::string& name);

}  // namespace furnace::python
