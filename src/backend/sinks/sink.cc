#include "backend/sinks/sink.h"

#include <array>

#include "base/bounds.h"
#include "base/text.h"

namespace furnace::backend {
namespace {

constexpr int64_t kRotate = 64 << 20, kKeep = 5;

constexpr Bounds kRotateBytes{1, bounds::kBytes.most, "bytes"}, kKept{1, 10'000, "files"};

/// PATH[,rotate=BYTES][,keep=N]
Result<std::unique_ptr<Sink>> file_from(std::string_view text) {
  int64_t rotate = kRotate, keep = kKeep;
  const Cut whole = cut(text, ',');
  const std::string path(whole.before);
  if (path.empty()) return fail(Errc::Invalid, "expected file:PATH");
  for (const std::string_view option : items(whole.after, ',')) {
    const Cut parts = cut(option, '=');
    if (parts.found && parts.before == "rotate") {
      FURNACE_TRY(rotate, parse_number("rotate", parts.after, kRotateBytes));
    } else if (parts.found && parts.before == "keep") {
      FURNACE_TRY(keep, parse_number("keep", parts.after, kKept));
    } else {
      return fail(Errc::Invalid, "'{}': expected rotate=BYTES or keep=N", option);
    }
  }
  return file_sink(path, static_cast<uint64_t>(rotate), static_cast<unsigned>(keep));
}

}  // namespace

Result<std::unique_ptr<Sink>> make_sink(std::string_view description,
                                        const std::vector<std::string>& headers) {
  const Cut parts = cut(description, ':');
  const std::string_view kind = parts.before;
  const std::string rest(parts.after);
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
