#include "cli/run.h"

#include "base/printable.h"
#include "base/signals.h"
#include "launch/part.h"
#include "launch/run/app_supervisor.h"
#include "launch/run/check.h"

namespace furnace::cli {
namespace {

struct RunOptions {
  std::string app, manifest;
  bool check = false;  ///< start nothing
};

/// The manifest, if nothing is wrong with it.
Result<launch::Manifest> load(const RunOptions& options) {
  const auto file =
      options.manifest.empty() ? launch::manifest_of(options.app) : std::filesystem::path(options.manifest);
  launch::Problems problems;
  auto manifest = launch::load_manifest(file, options.app, problems);
  if (manifest) launch::check_files(*manifest, problems);
  if (manifest && options.check) launch::check_surroundings(*manifest, problems);
  FURNACE_CHECK(check_interrupted());
  FURNACE_CHECK(problems.status());
  return *std::move(manifest);
}

Status print_commands(const RunOptions& options) {
  FURNACE_TRY(const launch::Manifest manifest, load(options));
  for (const auto& part : launch::parts_of(manifest))
    fmt::print("{}\n", printable_lines(launch::to_text(part)));
  return {};
}

Result<int> run_partitions(const RunOptions& options) {
  FURNACE_TRY(Fd stop, stop_signals());
  const auto manifest = load(options);
  if (!manifest && manifest.error().code() == Errc::Interrupted) return 0;  // a service that was to end
  if (!manifest) return tl::unexpected<Error>(manifest.error());
  return launch::run_app(*manifest, std::move(stop));
}

/// The exit code is the app's. The error lists all that is wrong with the manifest.
Result<int> run_manifest(const RunOptions& options) {
  if (!options.check) return run_partitions(options);
  FURNACE_CHECK(print_commands(options));
  return 0;
}

/// For --help: keys that decide about starts, and what they are when a manifest lacks them.
std::string manifest_defaults() {
  const launch::Manifest manifest;
  return fmt::format(
      "Keys of the manifest for starts, with their defaults (docs/operators.md has all keys):\n"
      "  restart = \"on-failure\"               or always, never\n"
      "  start_limit_burst = {:<17} the most starts of a part ...\n"
      "  start_limit_interval_seconds = {:<6} ... within that time; 0: no limit\n"
      "  wait_for_vm = {:<23} wait for a VM that doesn't exist or has exited\n",
      manifest.start_limit.burst, manifest.start_limit.interval_seconds, manifest.wait_for_vm);
}

}  // namespace

void add_run(Commands& commands) {
  auto* command = commands.add("run", "Run all partitions of an app, and restart those that fail");
  const auto options = std::make_shared<RunOptions>();
  command->add_option("APP", options->app, "The app's id")->required();
  command->add_option("--manifest", options->manifest,
                      "The app's manifest; default: furnace.toml in the app's directory");
  command->add_flag(
      "--check", options->check,
      "Start nothing: report all problems and exit with 1, or print the commands that would run");
  command->footer(manifest_defaults());
  commands.on(
      command, [options] { return run_manifest(*options); }, Output::Log);
}

}  // namespace furnace::cli
