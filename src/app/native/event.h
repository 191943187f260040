// An event's message in the form that C++ apps get.
#pragma once

#include <vector>

#include "furnace/app.h"
#include "vmi.pb.h"

namespace furnace::app {

/// Its texts point into `event`, its arguments into `arguments`.
[[nodiscard]] tenant::Event outward_event(const wire::Event& event,
                                          std::vector<tenant::SyscallArgument>& arguments);

}  // namespace furnace::app
