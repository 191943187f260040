// Hosts a C++ backend: the API of include/furnace/backend.h.
#pragma once

#include <filesystem>

#include "backend/backend.h"

namespace furnace::backend {

/// Loads the backend in FILE, runs it until it ends, and unloads it.
[[nodiscard]] Status host_native_backend(Backend& backend, const std::filesystem::path& file);

}  // namespace furnace::backend
