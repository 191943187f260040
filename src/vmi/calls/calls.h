// What each call does: a handler per verb.
#pragma once

#include <optional>
#include <utility>

#include "vmi/calls/codec.h"
#include "vmi/events/events.h"
#include "vmi/machine.h"
#include "vmi/pauses.h"
#include "vmi/session.h"

namespace furnace::vmi {

/// What a handler works on.
struct CallContext {
  Machine& machine;
  Session& session;
  Pauses& pauses;
  Events& events;
  /// The address space used last, or why there is none: most calls of a message are for the same one.
  std::optional<std::pair<guest::Pid, Result<guest::AddressSpace>>> space{};

  [[nodiscard]] bool knows(guest::Pid pid) const { return space && space->first == pid && space->second; }
};

/// Runs a call, or begins a long one. Never throws; a failure is in the reply. What the arguments point to
/// must outlive a long call.
[[nodiscard]] Reply execute(CallContext& context, const protocol::Call& call, const Arguments& arguments);

/// Removes what an app has left that has disconnected: its events and its pauses. The guest resumes if they
/// were the last.
void release(CallContext& context);

}  // namespace furnace::vmi
