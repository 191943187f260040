// The calls that may take long on a large or hostile guest.
#pragma once

#include <functional>

#include "vmi/calls/calls.h"
#include "vmi/calls/long_call.h"
#include "vmi/calls/place.h"

namespace furnace::vmi {

/// What is done once the process that a call names was looked for, or all were listed.
using OnProcess = std::function<Reply(CallContext& context, const Result<guest::Process>& found)>;
using OnProcesses = std::function<Reply(CallContext& context, Result<guest::ProcessList> found)>;

/// Reads bytes into the answer; as many as there are.
[[nodiscard]] Reply read_in_steps(const Place& place, size_t count);
/// Finds a process, then does the rest of the call.
[[nodiscard]] Reply find_in_steps(const guest::LinuxGuest& guest, guest::Pid pid, OnProcess then);
/// Lists all processes, then does the rest of the call.
[[nodiscard]] Reply list_in_steps(const guest::LinuxGuest& guest, OnProcesses then);

}  // namespace furnace::vmi
