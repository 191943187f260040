#include "backend/sinks/sink.h"

#include <array>

#include "base/bounds.h"

namespace furnace::backend {
namespace {

constexpr int64_t kRotate = 64 << 20, kKeep = 5;

constexpr Bounds kRotateBytes{1, bounds::kBytes.most, "bytes"}, kKept{1, 10'000, "files"};

/// PATH[,rotate=BYTES][,keep=N]
Result<std::unique_ptr<Sink>> file_from(std::string_view text) {
  int64_t rotate = kRotate, keep = kKeep;
  const size_t comma = std::min(text.find(','), text.size());
  const std::string path(text.substr(0, comma));
  text.remove_prefix(std::min(comma + 1, text.size()));
  if (path.empty()) return fail(Errc::Invalid, "expected file:PATH");
  while (!text.empty()) {
    const size_t end = std::min(text.find(','), text.size());
    const std::string_view option = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (option.starts_with("rotate=")) {
      FURNACE_TRY(rotate, parse_number("rotate", option.substr(option.find('=') + 1), kRotateBytes));
    } else if (option.starts_with("keep=")) {
      FURNACE_TRY(keep, parse_number("keep", option.substr(option.find('=') + 1), kKept));
    } else {
      return fail(Errc::Invalid, "'{}': expected rotate=BYTES or keep=N", option);
    }
  }
  return file_sink(path, static_cast<uint64_t>(rotate), static_cast<unsigned>(keep));
}

}  // namespace

Result<std::unique_ptr<Sink>> make_sink(std::string_view description,
                                        const std::vector<std::string>& headers) {
  const size_t colon = std::min(description.find(':'), description.size());
  const std::string_view kind = description.substr(0, colon);
  const std::string rest(description.substr(std::min(colon + 1, description.size())));
  const auto named = [&](Result<std::unique_ptr<Sink>> sink) -> Result<std::unique_ptr<Sink>> {
    if (!sink) return fail(sink.error(), fmt::format("sink {}", kind));
    return sink;
  };
  if (kind == "file") return named(file_from(rest));
  if (kind == "syslog") return named(syslog_sink(rest.empty() ? "/dev/log" : rest));
  if (kind == "journald") return named(journald_sink(rest.empty() ? "/run/systemd/journal/socket" : rest));
  if (kind == "webhook") return named(webhook_sink(rest, headers));
  if (kind == "otlp") return named(otlp_sink(rest, headers));
  return fail(Errc::Invalid, "sink '{}': expected file:PATH, syslog, journald, webhook:URL or otlp:URL",
              description);
}

}  // namespace furnace::backend
