// Counters of the VMI partition for its operator: Prometheus text at a UNIX socket, over HTTP.
#pragma once

#include <deque>
#include <map>
#include <string>

#include "base/fd.h"
#include "vmi/scheduler.h"

namespace furnace::vmi {

/// The counters of all apps in Prometheus' text format (version 0.0.4).
[[nodiscard]] std::string metrics_text(const std::string& vm,
                                       const std::map<std::string, Client, std::less<>>& clients,
                                       uint64_t dropped);

/// Answers every connection with the text of the moment and closes it. For the operator: mode 0600, and not
/// in a directory that an APP partition sees.
class MetricsSocket {
 public:
  [[nodiscard]] static Result<MetricsSocket> bind(const std::string& path);
  /// One that another process has bound, and removes.
  [[nodiscard]] static MetricsSocket from(Fd bound) { return {std::move(bound), {}}; }
  /// The bound socket, for another process; its file stays.
  [[nodiscard]] Fd take_apart() && {
    path_.clear();
    return std::move(fd_);
  }
  MetricsSocket(MetricsSocket&&) = default;
  MetricsSocket& operator=(MetricsSocket&&) = delete;
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

}  // namespace furnace::vmi
