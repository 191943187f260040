// Hosts a C++ backend: the API of include/furnace/backend.h.
#pragma once

#include <filesystem>

#include "backend/backend.h"

namespace furnace::backend {

/// Loads the backend in FILE, runs it until it ends or `stop` is readable, and unloads it.
[[nodiscard]] Status host_native_backend(Backend& backend, const std::filesystem::path& file, int stop);

}  // namespace furnace::backend
