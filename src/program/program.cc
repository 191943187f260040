#include "program/program.h"

#include <fcntl.h>

#include "base/log.h"

namespace furnace {

Program::Program(const std::string& name, const std::string& description)
    : name_(name), app_(description, name) {
  app_.add_flag("-d,--debug", debug_, "Log what happens in detail");
  app_.add_option("--log-format", log_format_, "text, or json (one object a line)")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  app_.get_formatter()->column_width(34);
}

int Program::run(int argc, char** argv, const std::function<Status()>& body) {
  try {
    app_.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app_.exit(error);
    return code == 0 ? 0 : 2;
  }
  log::start({.program = name_,
              .level = debug_   ? log::Level::Debug
                       : quiet_ ? log::Level::Warning
                                : log::Level::Info,
              .format = log_format_ == "json" ? log::Format::Json : log::Format::Text});
  const Status done = body();
  if (done) return 0;
  log::error("{}", done.error().message());
  return 1;
}

void establish() {
  (void)::open("ESTABLISHED", O_RDONLY | O_CLOEXEC);  // NOLINT: variadic
}

}  // namespace furnace
