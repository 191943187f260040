#include "python/host.h"

#include "base/directories.h"
#include "base/log.h"

namespace furnace::python {
namespace {

/// zipimport opens the archive again for each module. In a partition, whose library is one, each time is a
/// turn through the supervisor, and they are half of what its policy costs at the start.
constexpr const char* kKeepLibraryOpen = R"python(
import _io, sys, types, zipimport

class Kept:
    def __init__(self, archive):
        self.file = _io.open_code(archive)
    def __enter__(self):
        return self.file
    def __exit__(self, *_):
        pass

archives = {place: None for place in sys.path if place.endswith('.zip')}

def open_code(archive):
    if archive not in archives:
        return _io.open_code(archive)
    if archives[archive] is None:
        archives[archive] = Kept(archive)
    return archives[archive]

read = zipimport._get_data
zipimport._get_data = types.FunctionType(read.__code__, {**vars(zipimport), '_io': types.SimpleNamespace(open_code=open_code)}, read.__name__)
)python";

void log_traceback(std::string_view what, py::error_already_set& error) {
  std::string text;
  try {
    const auto lines =
        py::module_::import("traceback").attr("format_exception")(error.type(), error.value(), error.trace());
    text = py::str("").attr("join")(lines).cast<std::string>();
  } catch (const py::error_already_set&) {
    text = error.what();
  }
  while (text.ends_with('\n')) text.pop_back();
  log::error("{} raised:\n{}", what, text);
}

/// Returns "FILE:LINE" of where it was raised.
std::string place_of(const py::error_already_set& raised) {
  std::string place;
  for (py::object trace = raised.trace(); trace && !trace.is_none(); trace = trace.attr("tb_next"))
    place = fmt::format(
        "{}:{}", py::str(trace.attr("tb_frame").attr("f_code").attr("co_filename")).cast<std::string>(),
        trace.attr("tb_lineno").cast<int>());
  return place;
}

bool is_power_of_ten(uint64_t number) {
  while (number >= 10 && number % 10 == 0) number /= 10;
  return number == 1;
}

}  // namespace

Interpreter::Interpreter() : interpreter_(false) {
  py::exec(kKeepLibraryOpen, py::dict());
  // PyErr_SetInterrupt does nothing unless Python believes that it handles SIGINT itself.
  const auto signal = py::module_::import("signal");
  signal.attr("signal")(signal.attr("SIGINT"), signal.attr("default_int_handler"));
  const auto sys = py::module_::import("sys");
  sys.attr("path").attr("insert")(0, installed_directory("python").string());
  // Nothing of ours may be in the directory of an app.
  sys.attr("dont_write_bytecode") = true;
  // What an app prints shows at once, also when it goes to a file or a pipe, and is UTF-8 whatever the
  // locale.
  for (const char* stream : {"stdout", "stderr"})
    if (!sys.attr(stream).is_none())
      sys.attr(stream).attr("reconfigure")(py::arg("line_buffering") = true, py::arg("encoding") = "utf-8");
}

py::module_ add_module(const char* name) {
  auto module = py::reinterpret_borrow<py::module_>(py::module_::import("types").attr("ModuleType")(name));
  py::module_::import("sys").attr("modules")[name] = module;
  return module;
}

Result<py::object> make_object(const std::string& file_without_suffix, const std::string& class_name,
                               const py::object& argument) {
  const std::filesystem::path file = file_without_suffix + ".py";
  std::error_code error;
  if (!std::filesystem::is_regular_file(file, error))
    return fail(Errc::NotFound, "{}: {} (the option takes the file's name without .py)", file.string(),
                error ? error.message() : "not a regular file");
  try {
    const auto sys = py::module_::import("sys");
    sys.attr("path").attr("insert")(0, std::filesystem::absolute(file).parent_path().string());
    const auto util = py::module_::import("importlib.util");
    const std::string name = file.stem();
    const auto spec = util.attr("spec_from_file_location")(name, file.string());
    const auto module = util.attr("module_from_spec")(spec);
    sys.attr("modules")[py::str(name)] = module;
    spec.attr("loader").attr("exec_module")(module);
    if (!py::hasattr(module, class_name.c_str()))
      return fail(Errc::NotFound, "{}: no class '{}' (choose one with -m)", file.string(), class_name);
    return py::object(module.attr(class_name.c_str())(argument));
  } catch (py::error_already_set& raised) {
    // It did its work and asked to end, or a signal ended it.
    if (raised.matches(PyExc_SystemExit) || raised.matches(PyExc_KeyboardInterrupt))
      return py::object(py::none());
    log_traceback(fmt::format("{}: making the {} object", file.string(), class_name), raised);
    return fail(Errc::Failed, "{}: {} could not be made", file.string(), class_name);
  }
}

py::object Callbacks::call(std::string_view what, const py::function& callback, const py::tuple& arguments) {
  try {
    return callback(*arguments);
  } catch (py::error_already_set& raised) {
    if (raised.matches(PyExc_SystemExit) || raised.matches(PyExc_KeyboardInterrupt)) {
      exit_();
    } else {
      note(what, raised);
    }
  }
  return {};
}

void Callbacks::note(std::string_view what, py::error_already_set& raised) {
  constexpr size_t most_places = 256;
  const std::string type = raised.type().attr("__name__").cast<std::string>();
  const auto key = fmt::format("{} {} {}", what, type, place_of(raised));
  const auto [found, is_new] =
      raised_.size() < most_places ? raised_.try_emplace(key, 0) : std::pair(raised_.find(key), false);
  if (is_new) log_traceback(what, raised);
  if (found == raised_.end()) return log::error("{} raised {}", what, type);
  if (is_power_of_ten(++found->second) && !is_new)
    log::error("{} raised {} at the same place again: {} times so far", what, type, found->second);
}

void call_shutdown(const py::object& object) {
  // The signal that ended the loop must not end this.
  if (PyErr_CheckSignals() != 0) PyErr_Clear();
  if (object && !object.is_none() && py::hasattr(object, "shutdown"))
    Callbacks([] {}).call("shutdown()", object.attr("shutdown"), py::tuple());
}

void raise(const py::object& type, const Error& error) {
  PyErr_SetString(type.ptr(), error.message().c_str());
  throw py::error_already_set();
}

}  // namespace furnace::python
