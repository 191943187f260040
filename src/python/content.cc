#include "python/content.h"

#include <fmt/format.h>

#include "base/bytes.h"

namespace furnace::python {

protocol::Content content_of(const py::object& object, std::string_view call) {
  if (py::isinstance<py::str>(object)) return protocol::Content(object.cast<std::string>(), false);
  if (py::isinstance<py::bytes>(object))
    return protocol::Content(std::string(std::string_view(object.cast<py::bytes>())), true);
  throw py::type_error(fmt::format("{}: expected str or bytes, not {}", call,
                                   object.get_type().attr("__name__").cast<std::string>()));
}

py::object object_of(const protocol::Content& content) {
  if (content.is_bytes) return py::bytes(content.content);
  return text_of(content.content);
}

py::str text_of(std::string_view text) {
  return valid_utf8(text);
}

}  // namespace furnace::python
