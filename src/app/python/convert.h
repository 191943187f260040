// Between Python objects and the values of calls.
#pragma once

#include <pybind11/pybind11.h>

#include <string_view>

#include "app/arguments.h"

namespace furnace::app {

/// A Python argument as the client takes it; text and bytes point into the Python object. The error of an
/// ill-typed one names the call and the argument.
[[nodiscard]] Argument to_argument(std::string_view call, std::string_view name,
                                   const pybind11::handle& value);

/// A field of an answer: int, str, bytes, a list of dicts.
[[nodiscard]] pybind11::object to_python(const google::protobuf::Message& message,
                                         const google::protobuf::FieldDescriptor& field);
/// All fields of an answer that are set, by name.
[[nodiscard]] pybind11::dict to_python(const google::protobuf::Message& message);

}  // namespace furnace::app
