#include "reader/options.h"

namespace furnace::reader {

void add_options(CLI::App& flags, Options& options) {
  flags.add_option("TASK", options.task, "processes, find, show, export or snapshot")->required();
  flags.add_option("--vm", options.vm, "Name of the VM or file");
  flags.add_option("--driver", options.driver, "Driver of the VM");
  flags.add_option("--result", options.result, "Descriptor to report to")->required();
  flags.add_option("--handles", options.handles, "Descriptor that names the VM's handles");
  flags.add_option("--file", options.file, "Descriptor of the file");
  flags.add_flag("--forks", options.forks, "The file is a kdump file");
  flags.add_option("--scratch", options.scratch, "Descriptor of an empty file");
  flags.add_option("--types", options.types, "Descriptor of a file with types");
  flags.add_option("--types-name", options.types_name, "Its name");
  flags.add_flag("--profile", options.profile, "The file may be a profile");
  flags.add_option("--profiles", options.profiles, "Descriptors of stored profiles")->delimiter(',');
  flags.add_flag("--details", options.details, "Report executables and command lines");
  flags.add_option("--format", options.format, "Format of the output");
  flags.add_flag("--zstd", options.zstd, "Compress the snapshot");
  flags.add_option("--output", options.output, "Descriptor of the snapshot");
  flags.add_option("--output-name", options.output_name, "Its name");
  flags.add_option("--thing", options.things, "A symbol, a structure, or structure.member");
}

}  // namespace furnace::reader
