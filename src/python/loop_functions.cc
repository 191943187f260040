#include "python/loop_functions.h"

#include "base/log.h"

namespace furnace::python {

std::shared_ptr<Callbacks> define_loop_functions(py::module_& module, protocol::EventLoop& loop,
                                                 const std::string& name) {
  protocol::EventLoop* const self = &loop;
  const auto stop = [self] { self->stop(); };
  const auto callbacks = std::make_shared<Callbacks>(stop);
  const auto log_name = std::make_shared<std::string>(name);
  module.attr("add_timer") =
      py::cpp_function([self, callbacks](double seconds, const py::function& callback) {
        return self->add_timer(std::chrono::duration<double>(seconds), [callback, callbacks] {
          callbacks->call("timer callback", callback, py::make_tuple("timer triggered"));
        });
      });
  module.attr("remove_timer") =
      py::cpp_function([self](uint64_t timer) { return self->remove_timer(timer); });
  module.attr("stop_loop") = py::cpp_function(stop);
  module.attr("log") = py::cpp_function(
      [log_name](const std::string& text) { log::info("{}: {}", *log_name, text); }, py::name("log"),
      py::arg("text"), py::doc("log(text)\n\nWrites a line to the partition's log."));
  module.attr("set_log_name") = py::cpp_function([log_name](const std::string& text) { *log_name = text; });
  return callbacks;
}

}  // namespace furnace::python
