// Batches in module _furnace: made, sent and taken apart; furnace_batch.py gives them their form in the
// tenant API.
#pragma once

#include "app/python/errors.h"
#include "app/runtime.h"
#include "python/host.h"

namespace furnace::app {

/// Adds batch_serialize, batch_exchange, batch_parse and field_index to `module`.
void define_batches(pybind11::module_& module, Runtime& runtime, const Errors& errors);

}  // namespace furnace::app
