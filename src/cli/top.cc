#include "cli/top.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <map>

#include "base/fd.h"
#include "base/metrics.h"
#include "base/printable.h"
#include "base/signals.h"
#include "base/text.h"
#include "command_line/bounded_option.h"

namespace furnace::cli {
namespace {

/// app -> metric -> value
using Counters = std::map<std::string, std::map<std::string, double>>;

Counters parse(std::string_view text) {
  Counters counters;
  for (const std::string_view line : lines(text)) {
    const size_t labels = line.find('{');
    const size_t app = line.find("app=\"");
    if (line.starts_with('#') || labels == std::string_view::npos || app == std::string_view::npos) continue;
    const size_t start = app + 5;
    const auto number = parse_number<uint64_t>(cut_last(line, ' ').after);
    counters[std::string(line.substr(start, line.find('"', start) - start))]
            [std::string(line.substr(0, labels))] = static_cast<double>(number.value_or(0));
  }
  return counters;
}

Result<std::string> fetch(const std::string& path) {
  FURNACE_TRY(const Fd socket, connect_unix(path));
  constexpr std::string_view request = "GET / HTTP/1.0\r\n\r\n";
  [[maybe_unused]] const ssize_t sent = ::send(socket.get(), request.data(), request.size(), MSG_NOSIGNAL);
  std::string text;
  std::array<char, 16384> piece;
  constexpr size_t limit = 16 << 20;
  for (ssize_t got = 0;
       (got = ::recv(socket.get(), piece.data(), piece.size(), 0)) > 0 && text.size() < limit;)
    text.append(piece.data(), static_cast<size_t>(got));
  return text;
}

}  // namespace

std::string format_top(const std::string& before, const std::string& now, double seconds) {
  struct Column {
    const char* title;
    const char* metric;
    double unit;
  };
  constexpr std::array columns = {Column{"MSGS", "furnace_vmi_messages_total", 1},
                                  Column{"CALLS", "furnace_vmi_calls_total", 1},
                                  Column{"FAILED", "furnace_vmi_failed_calls_total", 1},
                                  Column{"SENT MB", "furnace_vmi_sent_bytes_total", 1 << 20},
                                  Column{"EVENTS", "furnace_vmi_events_total", 1},
                                  Column{"LOST", "furnace_vmi_lost_events_total", 1},
                                  Column{"BUSY %", "furnace_vmi_busy_nanoseconds_total", 1e7}};
  constexpr size_t app_width = 24;
  const bool rates = !before.empty();
  const Counters then = parse(before);
  std::string text = column(rates ? "APP (per second)" : "APP (totals)", app_width);
  for (const Column& column : columns)
    text += fmt::format(" {:>7}", rates || column.unit != 1e7 ? column.title : "BUSY s");
  text += '\n';
  for (const auto& [app, counters] : parse(now)) {
    text += column(app, app_width);
    for (const Column& column : columns) {
      const auto value = [&column, &app = app](const Counters& from) {
        const auto found = from.find(app);
        if (found == from.end() || !found->second.contains(column.metric)) return 0.0;
        return found->second.at(column.metric);
      };
      const double unit = !rates && column.unit == 1e7 ? 1e9 : column.unit;
      const double shown = (counters.at(column.metric) - value(then)) / unit / (rates ? seconds : 1);
      text += fmt::format(" {:>7.{}f}", shown, unit == 1 ? 0 : 1);
    }
    text += '\n';
  }
  return text;
}

std::string format_partitions(const std::vector<sandbox::PartitionState>* before,
                              const std::vector<sandbox::PartitionState>& now, double seconds) {
  constexpr double us_per_percent = 1e4, us = 1e6, mb = 1 << 20;
  constexpr size_t width = 28;  // a terminal has 80 columns
  std::string text = fmt::format("{:<{}} {:>8} {:>7} {:>13} {:>5} {:>7} {:>6}\n", "PARTITION", width, "PID",
                                 before != nullptr ? "CPU %" : "CPU s", "MEMORY/MB", "PIDS",
                                 before != nullptr ? "MSGS/S" : "MSGS", "DENIED");
  for (const sandbox::PartitionState& state : now) {
    const sandbox::PartitionState* then = nullptr;
    if (before != nullptr)
      for (const auto& each : *before)
        if (each.launcher == state.launcher && each.program == state.program) then = &each;
    const double time = before != nullptr ? seconds : 1;
    const auto rate = [&](uint64_t value, uint64_t earlier) {
      return static_cast<double>(value - (then != nullptr ? std::min(earlier, value) : 0)) / time;
    };
    const auto& usage = state.usage;
    const bool limited = usage.memory_limit != 0;
    const double cpu = rate(usage.cpu_us, then != nullptr ? then->usage.cpu_us : 0) /
                       (before != nullptr ? us_per_percent : us);
    text += fmt::format("{} {:>8} {:>7} {:>13} {:>5} {:>7.0f} {:>6}\n", column(state.name, width),
                        state.program, limited ? fmt::format("{:.1f}", cpu) : "-",
                        limited ? fmt::format("{:.1f} of {:.0f}", static_cast<double>(usage.memory) / mb,
                                              static_cast<double>(usage.memory_limit) / mb)
                                : "-",
                        limited ? std::to_string(usage.processes) : "-",
                        rate(state.messages, then != nullptr ? then->messages : 0), state.denied);
  }
  return text;
}

namespace {

struct TopOptions {
  std::string socket;   ///< empty: all partitions
  double interval = 2;  ///< seconds between two looks
  bool once = false;    ///< totals since the start, and end
  std::string
      serve;  ///< where to show all partitions as Prometheus text instead: ADDRESS:PORT, or a socket's path
};

/// Takes looks with `fetch` and shows what `format` makes of two of them.
template <typename Fetch, typename Format>
Status watch(const TopOptions& options, const Fetch& fetch, const Format& format) {
  FURNACE_TRY(const Fd stop, stop_signals());
  FURNACE_TRY(auto before, fetch());
  if (options.once) {
    fmt::print("{}", format(nullptr, before));
    return {};
  }
  while (true) {
    pollfd item{stop.get(), POLLIN, 0};
    constexpr int ms = 1000;
    ::poll(&item, 1, static_cast<int>(options.interval * ms));
    FURNACE_CHECK(check_interrupted());
    FURNACE_TRY(auto now, fetch());
    // Cursor home and clear to the end, on a terminal.
    fmt::print("{}{}", ::isatty(STDOUT_FILENO) != 0 ? "\x1b[H\x1b[J" : "", format(&before, now));
    std::fflush(stdout);
    before = std::move(now);
  }
}

Status serve(const std::string& where) {
  FURNACE_TRY(const Fd stop, stop_signals());
  FURNACE_TRY(auto socket, MetricsSocket::bind(where));
  while (true) {
    std::array<pollfd, 2> items{pollfd{stop.get(), POLLIN, 0}, pollfd{socket.descriptor(), POLLIN, 0}};
    if (::poll(items.data(), items.size(), -1) < 0 && errno != EINTR) return fail_errno("poll");
    if (items[0].revents != 0) return {};
    if (items[1].revents != 0) socket.answer(partition_metrics(sandbox::running_partitions()));
  }
}

}  // namespace

std::string partition_metrics(const std::vector<sandbox::PartitionState>& states) {
  using State = sandbox::PartitionState;
  struct Metric {
    const char* name;
    const char* help;
    const char* type;
    uint64_t (*value)(const State&);
  };
  constexpr std::array metrics = {
      Metric{"messages_total", "Messages that it has taken or sent", "counter",
             [](const State& s) { return s.messages; }},
      Metric{"denied_calls_total", "System calls that its policy doesn't allow", "counter",
             [](const State& s) { return s.denied; }},
      Metric{"cpu_microseconds_total", "CPU time", "counter",
             [](const State& s) { return uint64_t{s.usage.cpu_us}; }},
      Metric{"memory_bytes", "Memory", "gauge", [](const State& s) { return uint64_t{s.usage.memory}; }},
      Metric{"memory_limit_bytes", "Most memory", "gauge",
             [](const State& s) { return uint64_t{s.usage.memory_limit}; }},
      Metric{"processes", "Processes and threads", "gauge",
             [](const State& s) { return uint64_t{s.usage.processes}; }},
      Metric{"oom_kills_total", "Times it was killed for memory", "counter",
             [](const State& s) { return uint64_t{s.usage.oom_kills}; }},
      Metric{"output_left_out_bytes_total", "Output beyond its limit", "counter",
             [](const State& s) { return s.left_out; }},
      Metric{"established", "Whether it is ready", "gauge",
             [](const State& s) { return uint64_t{s.established}; }},
  };
  MetricsText text;
  for (const Metric& metric : metrics) {
    text.metric(fmt::format("furnace_partition_{}", metric.name), metric.help, metric.type);
    for (const State& state : states) text.sample({{"partition", state.name}}, metric.value(state));
  }
  return text.text();
}

namespace {

Status show_top(const TopOptions& options) {
  if (!options.serve.empty()) return serve(options.serve);
  using States = std::vector<sandbox::PartitionState>;
  if (options.socket.empty())
    return watch(
        options, []() -> Result<States> { return sandbox::running_partitions(); },
        [&](const States* before, const States& now) {
          return now.empty() ? std::string("no partition runs here\n")
                             : format_partitions(before, now, options.interval);
        });
  return watch(
      options, [&] { return fetch(options.socket); },
      [&](const std::string* before, const std::string& now) {
        return format_top(before != nullptr ? *before : "", now, options.interval);
      });
}

}  // namespace

void add_top(Commands& commands) {
  auto* top =
      commands.add("top", "Show what partitions use and do, or the apps of one VM, every two seconds");
  const auto options = std::make_shared<TopOptions>();
  top->add_option("SOCKET", options->socket,
                  "The socket given to `furnace vmi --metrics`: shows the apps of that VM; default: all "
                  "partitions on this host");
  top->add_option("--interval", options->interval, "Seconds between two updates")
      ->check(seconds_within(0.1, 3600))
      ->capture_default_str();
  top->add_flag("--once", options->once, "Print the totals since the start once, and exit");
  top->add_option(
      "--serve", options->serve,
      "Show the counters of all partitions as Prometheus text, at ADDRESS:PORT or a socket's path");
  commands.on(top, [options] { return show_top(*options); });
}

}  // namespace furnace::cli
