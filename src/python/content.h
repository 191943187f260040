// Messages between apps and backends as a tenant's Python code has them: str or bytes.
#pragma once

#include <pybind11/pybind11.h>

#include <string_view>

#include "protocol/content.h"

namespace furnace::python {

namespace py = pybind11;

/// Returns what a tenant's code gives. Raises TypeError, which names `call`, for what is neither str nor
/// bytes.
[[nodiscard]] protocol::Content content_of(const py::object& object, std::string_view call);
[[nodiscard]] py::object object_of(const protocol::Content& content);
/// Returns text of a peer with its faults replaced: Python's has no bytes that are not UTF-8.
[[nodiscard]] py::str text_of(std::string_view text);

}  // namespace furnace::python
