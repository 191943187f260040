// Counters for an operator: Prometheus' text format, and the socket that shows it over HTTP.
#pragma once

#include <cstdint>
#include <deque>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/fd.h"

namespace furnace {

/// Prometheus' text format, version 0.0.4.
class MetricsText {
 public:
  using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

  /// Begins a metric: its name, one line of help, "counter" or "gauge". Its samples follow.
  void metric(std::string_view name, std::string_view help, std::string_view type = "counter");
  void sample(Labels labels, uint64_t value);
  /// A metric of one sample.
  void single(std::string_view name, std::string_view help, Labels labels, uint64_t value,
              std::string_view type = "counter");

  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string text_, name_;
};

/// Answers every connection with the text of the moment and closes it.
class MetricsSocket {
 public:
  /// `where`: ADDRESS:PORT, or the path of a UNIX socket (mode 0600; not for a directory that an APP
  /// partition sees).
  [[nodiscard]] static Result<MetricsSocket> bind(const std::string& where);
  /// One that another process has bound, and removes.
  [[nodiscard]] static MetricsSocket from(Fd bound) { return {std::move(bound), {}}; }
  /// What a program's options ask for: at `where`, or one bound by another process; none if it is empty and
  /// negative.
  [[nodiscard]] static Result<std::optional<MetricsSocket>> make(const std::string& where, int bound);
  /// The bound socket, for another process; its file stays.
  [[nodiscard]] Fd take_apart() && {
    path_.clear();
    return std::move(fd_);
  }
  MetricsSocket(MetricsSocket&&) = default;
  MetricsSocket& operator=(MetricsSocket&& other) noexcept {
    std::swap(fd_, other.fd_);
    std::swap(path_, other.path_);
    return *this;
  }
  ~MetricsSocket();

  [[nodiscard]] int descriptor() const { return fd_.get(); }
  /// Answers who waits, without blocking.
  void answer(const std::string& text);

 private:
  MetricsSocket(Fd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
  Fd fd_;
  std::string path_;
  std::deque<Fd>
      answered_;  // closed when others come: closing at once would cut off who still sends its request
};

/// The place of `where` on a disk, if it is a path.
[[nodiscard]] std::string_view metrics_path(std::string_view where);

}  // namespace furnace
