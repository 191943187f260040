// An occurrence as it goes over the wire.
#pragma once

#include "vmi.pb.h"
#include "vmi/events/occurrence.h"

namespace furnace::vmi {

/// Fills in what happened; identifier, pausing and counts are the registration's.
void describe(const Occurrence& occurrence, const EventType& type, wire::Event& event);

}  // namespace furnace::vmi
