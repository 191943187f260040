// Logging to stderr: text for people or JSON lines for machines; nothing is formatted when the level is off.
#pragma once

#include <fmt/format.h>

#include <string_view>
#include <utility>

namespace furnace::log {

enum class Level { Debug, Info, Warning, Error };
enum class Format { Text, Json };

struct Options {
  std::string_view program;  ///< shown in every line
  Level level = Level::Info;
  Format format = Format::Text;
};

/// Sets up the process's log. Before it is called, lines go out as text from "furnace".
void start(const Options& options);

[[nodiscard]] Format format();
[[nodiscard]] bool enabled(Level level);
void write(Level level, std::string_view message);

template <typename... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::Debug)) write(Level::Debug, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::Info)) write(Level::Info, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void warning(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::Warning)) write(Level::Warning, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::Error)) write(Level::Error, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace furnace::log
