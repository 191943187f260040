// What each call does: a handler per verb.
#pragma once

#include <functional>

#include "vmi/codec.h"
#include "vmi/events.h"
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
  /// Called in the middle of long reads, so that other apps are served meanwhile; may be empty.
  std::function<void()> breathe{};
  /// The address space used last: most calls of a message are for the same one.
  std::optional<std::pair<guest::Pid, guest::AddressSpace>> space{};
};

/// Runs a call. Never throws; a failure is in the reply.
[[nodiscard]] Reply execute(CallContext& context, const protocol::Call& call, const Arguments& arguments);

/// Undoes what an app that is gone left behind: its events and its pauses; the guest runs on if they were the
/// last.
void release(CallContext& context);

}  // namespace furnace::vmi
