#include "launch/options/vmi.h"

#include "base/text.h"
#include "command_line/bounded_option.h"

namespace furnace::launch {

Result<Watchdog> parse_watchdog(std::string_view text) {
  const Cut parts = cut_last(text, '=');
  if (!parts.found || parts.before.empty())
    return fail(Errc::Invalid, "'{}': expected APP=MILLISECONDS", text);
  const std::string app(parts.before);
  FURNACE_TRY(const int64_t time, parse_number(fmt::format("'{}'", app), parts.after, bounds::kMilliseconds));
  return Watchdog{app, std::chrono::milliseconds(time)};
}

void add_options(CLI::App& flags, VmiOptions& options, const DriverChoice& drivers) {
  flags.add_option("VM", options.vm, "Name of the VM (QEMU's -name), or a snapshot file")->required();
  flags.add_option("--driver", options.driver, drivers.help)
      ->check(CLI::IsMember(drivers.names))
      ->capture_default_str();
  flags.add_option("--vmi", options.directory, "Directory for the socket vmi_rtr")->capture_default_str();
  flags.add_option(
      "--profile", options.profile,
      "Kernel profile: Rekall or Volatility JSON, System.map, vmlinux, or Furnace's own; default, or if "
      "the file is empty: found in the guest's RAM");
  flags
      .add_option("--calls-per-second", options.calls_per_second,
                  "Calls per second that each app may make; 0: no limit")
      ->check(within(bounds::kPerSecond))
      ->capture_default_str();
  flags
      .add_option(
          "--outstanding", options.outstanding_bytes,
          "Bytes of answers that an app may leave unread, at most its share of 8 MB; beyond this it is "
          "not served")
      ->check(within(bounds::kBytes))
      ->capture_default_str();
  flags
      .add_option("--watchdog", options.watchdog_ms,
                  "Milliseconds that a SYNC event may keep the guest paused; 0: no limit")
      ->check(within(bounds::kMilliseconds))
      ->capture_default_str();
  flags
      .add_option("--watchdog-for", options.watchdogs,
                  "The same for one app: APP=MILLISECONDS; may be repeated")
      ->check(checked_by(parse_watchdog));
  flags.add_option(
      "--forbid", options.forbidden,
      "What apps may not do: write, pause, events, or a list of them; APP=LIST for one app; may be "
      "repeated");
  flags
      .add_option("--events-by", options.events_by,
                  "How to see events of the guest's kernel: by breakpoints, by writes to watched variables, "
                  "or by what "
                  "is faster on this VM (auto)")
      ->check(CLI::IsMember({"auto", "breakpoints", "writes"}))
      ->capture_default_str();
  flags.add_option("--metrics", options.metrics,
                   "Path of a socket that shows counters of each app as Prometheus text");
  flags.add_option("--btf", options.types, "Types for a System.map profile: a BTF file or a vmlinux");
  const char* const hidden = "";
  flags.add_flag("--in-partition", options.confined)->group(hidden);
  flags.add_option("--handles", options.handles)->group(hidden);
  flags.add_option("--metrics-descriptor", options.metrics_descriptor)->group(hidden);
  flags.add_option("--scratch", options.scratch)->group(hidden);
  flags.add_option("--counter", options.counter)->group(hidden);
}

}  // namespace furnace::launch
