#include "base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>

#include "base/json_text.h"
#include "base/printable.h"

namespace furnace::log {
namespace {

spdlog::level::level_enum native(Level level) {
  switch (level) {
    case Level::Debug:
      return spdlog::level::debug;
    case Level::Info:
      return spdlog::level::info;
    case Level::Warning:
      return spdlog::level::warn;
    case Level::Error:
      break;
  }
  return spdlog::level::err;
}

/// The process's logger; spdlog's registry holds it, so that there is one for all threads.
spdlog::logger& logger() {
  return *spdlog::default_logger_raw();
}

bool json(const spdlog::logger& logger) {
  return logger.name().starts_with('{');
}

/// Whatever the message holds it is one record: lines after the first one, as a traceback has, begin with
/// spaces.
std::string record_of(std::string_view message) {
  std::string record;
  for (const char c : printable_lines(message)) {
    if (record.ends_with('\n') && c != ' ') record += "  ";
    record += c;
  }
  return record;
}

}  // namespace

void start(const Options& options) {
  const bool as_json = options.format == Format::Json;
  // In JSON the logger's name is the opening of every line; the message is escaped in `write`.
  const std::string program(options.program);
  auto made = std::make_shared<spdlog::logger>(
      as_json ? "{\"program\":" + json_text(nlohmann::json(program)) : program,
      std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
  made->set_pattern(as_json ? R"(%n,"time":"%Y-%m-%dT%H:%M:%S.%e%z","level":"%l","message":%v})"
                            : "%H:%M:%S.%e %n %^%l%$: %v");
  made->set_level(native(options.level));
  made->flush_on(spdlog::level::info);
  spdlog::set_default_logger(std::move(made));
}

Format format() {
  return json(logger()) ? Format::Json : Format::Text;
}

bool enabled(Level level) {
  return logger().should_log(native(level));
}

void write(Level level, std::string_view message) {
  logger().log(native(level), json(logger()) ? json_text(nlohmann::json(message)) : record_of(message));
}

}  // namespace furnace::log
