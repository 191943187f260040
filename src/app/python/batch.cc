#include "app/python/batch.h"

#include "app/batch_message.h"
#include "app/python/convert.h"
#include "protocol/error_code.h"

namespace furnace::app {
namespace {

namespace py = pybind11;

template <typename T>
T or_raise(const Errors& errors, Result<T> result) {
  if (!result) errors.raise(result.error());
  return *std::move(result);
}

wire::VmiMessage parse(const Errors& errors, const py::bytes& body, std::string_view what) {
  wire::VmiMessage message;
  if (!message.ParseFromString(std::string(body)))
    errors.raise({Errc::Invalid, fmt::format("batch: the {} is not a VMI message", what)});
  return message;
}

/// (call, {field: value}, None or (prev_msg_ix, prev_item_ix, cur_item_ix, operator)), as furnace_batch.py
/// has checked them. `index` is for the errors.
void add(const Errors& errors, wire::VmiMessage& message, size_t index, const py::tuple& item) {
  const std::string where = fmt::format("batch: call {}", index);
  const auto found = call_named(item[0].cast<std::string>());
  if (!found) errors.raise(found.error().context(where));
  const protocol::Call& call = **found;
  std::vector<NamedArgument> arguments;
  std::vector<std::string> names;  // the arguments point into them
  const auto given = item[1].cast<py::dict>();
  names.reserve(given.size());
  for (const auto& [name, value] : given) {
    names.push_back(name.cast<std::string>());
    arguments.push_back(
        {names.back(), to_argument(fmt::format("{}: {}", where, call.name), names.back(), value)});
  }
  std::optional<Link> link;
  if (!item[2].is_none()) {
    const py::sequence parts = item[2];
    link = Link{parts[0].cast<uint32_t>(), parts[1].cast<uint32_t>(), parts[2].cast<uint32_t>(),
                parts[3].cast<int>()};
  }
  if (const auto added = add_call(message, call, arguments, link); !added)
    errors.raise(added.error().context(where));
}

}  // namespace

void define_batches(py::module_& module, Runtime& runtime, const Errors& errors) {
  module.attr("batch_serialize") = py::cpp_function([errors](const py::list& items) {
    wire::VmiMessage message;
    for (size_t i = 0; i < items.size(); ++i) add(errors, message, i, items[i].cast<py::tuple>());
    return py::bytes(message.SerializeAsString());
  });
  module.attr("batch_exchange") = py::cpp_function([&runtime, errors](const py::bytes& body) {
    const std::string_view text(PyBytes_AS_STRING(body.ptr()),
                                static_cast<size_t>(PyBytes_GET_SIZE(body.ptr())));
    Result<zmq::message_t> reply = [&] {
      const py::gil_scoped_release release;
      return runtime.vmi().call_socket().ask(zmq::message_t(text), "batch");
    }();
    if (PyErr_Occurred() != nullptr) throw py::error_already_set();  // interrupted by a signal
    if (!reply) errors.raise(reply.error().context("batch"));
    return py::bytes(reply->data<char>(), reply->size());
  });
  // The exception for a call of a batch that failed.
  module.attr("_call_error") = py::cpp_function([errors](int code, const std::string& reason) {
    return errors.exception({protocol::kind_of(static_cast<wire::ErrorCode>(code)), reason});
  });
  // The answers as (call's name, {field: value}), and the exception that says why the batch stopped early, or
  // None.
  module.attr("batch_parse") = py::cpp_function([errors](const py::bytes& request, const py::bytes& reply) {
    const wire::VmiMessage asked = parse(errors, request, "request");
    const wire::VmiMessage answer = parse(errors, reply, "answer");
    py::list results;
    for (const CallAnswer& part : or_raise(errors, split_answer(answer)))
      results.append(py::make_tuple(std::string(part.call->name), to_python(*part.fields)));
    const auto failure = batch_failure(asked, answer);
    return py::make_tuple(results, failure ? errors.exception(*failure) : py::object(py::none()));
  });
  // (call, field, of the answer?): the field's index, as links count.
  module.attr("field_index") =
      py::cpp_function([errors](const std::string& name, const std::string& field, bool answer) {
        const auto* call = or_raise(errors, call_named(name));
        return or_raise(errors, answer ? answer_field(*call, field) : request_field(*call, field));
      });
}

}  // namespace furnace::app
