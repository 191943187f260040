#include "base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "base/bytes.h"

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

}  // namespace

void start(const Options& options) {
  const bool as_json = options.format == Format::Json;
  // In JSON the logger's name is the opening of every line; the message is escaped in `write`.
  const std::string program(options.program);
  auto made =
      std::make_shared<spdlog::logger>(as_json ? "{\"program\":" + nlohmann::json(program).dump() : program,
                                       std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
  made->set_pattern(as_json ? R"(%n,"time":"%Y-%m-%dT%H:%M:%S.%e%z","level":"%l","message":%v})"
                            : "%H:%M:%S.%e %n %^%l%$: %v");
  made->set_level(native(options.level));
  made->flush_on(spdlog::level::info);
  spdlog::set_default_logger(std::move(made));
}

bool enabled(Level level) {
  return logger().should_log(native(level));
}

void write(Level level, std::string_view message) {
  if (json(logger())) {
    logger().log(native(level), nlohmann::json(valid_utf8(message)).dump());
  } else {
    logger().log(native(level), message);
  }
}

}  // namespace furnace::log
