// furnace-reader: looks into a guest for one command. Only commands start it.
#include "reader/reader.h"

#include <ctime>

#include "command_line/program.h"

int main(int argc, char** argv) {
  furnace::reader::Options options;
  // Its log is part of the command's.
  furnace::Program program("furnace", "Looks into a guest for a command");
  furnace::reader::add_options(program.options(), options);
  program.be_quiet();
  ::tzset();  // opens a file, which the log could not do later
  return program.run(argc, argv, [&] { return furnace::reader::run(options); });
}
