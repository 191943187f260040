// The calls that a FAC partition answers by itself: those on stored values.
#pragma once

#include "facilities.pb.h"
#include "facilities/counters.h"
#include "facilities/storage.h"

namespace furnace::facilities {

/// Answers the calls of a message (get, set, list, remove), in order. Whatever else it asks for is answered
/// as failed.
[[nodiscard]] FacMessage execute(Storage& storage, const FacMessage& request, Counters& counters);

/// A failed answer to a request to the backend.
[[nodiscard]] FacMessage failed_request(const Error& error);

}  // namespace furnace::facilities
