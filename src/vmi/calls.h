// What each call does: a handler per verb.
#pragma once

#include "vmi/codec.h"
#include "vmi/machine.h"
#include "vmi/session.h"

namespace furnace::vmi {

/// What a handler works on.
struct CallContext {
  Machine& machine;
  Session& session;
  PauseCount& pauses;
};

/// Runs a call. Never throws; a failure is in the reply.
[[nodiscard]] Reply execute(CallContext& context, const protocol::Call& call, const Arguments& arguments);

/// Takes back all pauses of a session; the guest runs on if they were the last.
void release_pauses(CallContext& context);

}  // namespace furnace::vmi
