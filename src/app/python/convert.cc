#include "app/python/convert.h"

#include <fmt/format.h>

#include "base/bytes.h"
#include "base/printable.h"

namespace furnace::app {

namespace py = pybind11;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

namespace {

/// "read_va(): 'count' is 1.5"
std::string describe(std::string_view call, std::string_view name, const py::handle& value) {
  constexpr size_t longest = 80;
  return fmt::format("{}(): '{}' is {}", call, name,
                     printable(py::repr(value).cast<std::string>().substr(0, longest)));
}

}  // namespace

Argument to_argument(std::string_view call, std::string_view name, const py::handle& value) {
  if (PyLong_Check(value.ptr())) {
    const auto number = PyLong_AsUnsignedLongLong(value.ptr());
    if (PyErr_Occurred() == nullptr) return uint64_t{number};
    PyErr_Clear();
    const auto negative = PyLong_AsLongLong(value.ptr());
    if (PyErr_Occurred() == nullptr) return static_cast<uint64_t>(negative);
    PyErr_Clear();
    PyErr_SetString(PyExc_OverflowError,
                    (describe(call, name, value) + ": expected an int of at most 64 bits").c_str());
    throw py::error_already_set();
  }
  if (PyUnicode_Check(value.ptr())) {
    Py_ssize_t size = 0;
    const char* text = PyUnicode_AsUTF8AndSize(value.ptr(), &size);
    if (text == nullptr) throw py::error_already_set();
    return std::string_view(text, static_cast<size_t>(size));
  }
  if (PyBytes_Check(value.ptr()))
    return std::string_view(PyBytes_AS_STRING(value.ptr()),
                            static_cast<size_t>(PyBytes_GET_SIZE(value.ptr())));
  throw py::type_error(fmt::format("{}: expected int, str or bytes, got {}", describe(call, name, value),
                                   Py_TYPE(value.ptr())->tp_name));
}

py::object to_python(const Message& message, const FieldDescriptor& field) {
  const auto& reflection = *message.GetReflection();
  if (field.is_repeated()) {
    py::list list;
    for (int i = 0; i < reflection.FieldSize(message, &field); ++i)
      list.append(to_python(reflection.GetRepeatedMessage(message, &field, i)));
    return list;
  }
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_UINT64:
      return py::int_(reflection.GetUInt64(message, &field));
    case FieldDescriptor::CPPTYPE_INT64:
      return py::int_(reflection.GetInt64(message, &field));
    case FieldDescriptor::CPPTYPE_UINT32:
      return py::int_(reflection.GetUInt32(message, &field));
    case FieldDescriptor::CPPTYPE_INT32:
      return py::int_(reflection.GetInt32(message, &field));
    case FieldDescriptor::CPPTYPE_BOOL:
      return py::bool_(reflection.GetBool(message, &field));
    case FieldDescriptor::CPPTYPE_ENUM:
      return py::int_(reflection.GetEnumValue(message, &field));
    case FieldDescriptor::CPPTYPE_STRING: {
      const std::string text = reflection.GetString(message, &field);
      if (field.type() == FieldDescriptor::TYPE_BYTES) return py::bytes(text);
      return py::str(valid_utf8(text));
    }
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return to_python(reflection.GetMessage(message, &field));
    default:
      return py::none();
  }
}

py::dict to_python(const Message& message) {
  py::dict fields;
  const auto& type = *message.GetDescriptor();
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    if (field.is_repeated() || message.GetReflection()->HasField(message, &field))
      fields[field.name().c_str()] = to_python(message, field);
  }
  return fields;
}

}  // namespace furnace::app
