// Whether a tenant's Python file defines a class, found out without running it.
#pragma once

#include <filesystem>
#include <string>

#include "base/result.h"

namespace furnace::launch {

/// The error says what is wrong with the file, or which classes it defines. The source is parsed in a process
/// of its own, without privileges where we are root, with limits of time and memory. A name that is imported
/// or assigned counts as well, and after `import *` any name. Without a python3 on the PATH nothing is said.
[[nodiscard]] Status check_python_class(const std::filesystem::path& file, const std::string& name);

}  // namespace furnace::launch
