#include "launch/options/app.h"

#include "command_line/bounded_option.h"

namespace furnace::launch {

void add_options(CLI::App& flags, AppOptions& options) {
  flags
      .add_option("-c,--code", options.file,
                  "The app's file without its suffix: FILE.py, or FILE.so for one in C++")
      ->required();
  flags.add_option("-m,--class", options.class_name, "The app's class")->capture_default_str();
  flags.add_option("--u2,--app", options.app, "The app's id")->required();
  flags.add_option("--md,--metadata", options.metadata, "Text that the app gets as ctx['metadata']");
  flags.add_option("--fac", options.facilities, "Directory of the FAC partition's sockets")
      ->capture_default_str();
  flags.add_option("--vmi", options.vmi, "Directory of the VMI partition's socket")->capture_default_str();
  constexpr Bounds seconds{0, 86'400, "s (0: no limit)"};
  flags
      .add_option("--wait-for-vm", options.wait_for_vm,
                  "How long the app waits after its VMI partition has exited, before it exits too")
      ->check(within(seconds))
      ->capture_default_str();
  flags.add_option("--counter", options.counter)->group("");
}

}  // namespace furnace::launch
