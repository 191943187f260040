// The command line of a reader, which the commands write (launch/reading.h).
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace furnace::reader {

struct Options {
  std::string task;                 ///< processes, find, show, export or snapshot
  std::string vm;                   ///< its name; of a file: as the operator called it
  std::string driver;               ///< qemu, xen, snapshot or simulator
  int result = -1;                  ///< a descriptor: where records are written to
  int handles = -1;                 ///< a descriptor: hypervisor::Lent::text
  int file = -1;                    ///< a descriptor: a snapshot, a description, or a profile
  bool forks = false;               ///< the file is a kdump file, which is read by another process
  int scratch = -1;                 ///< a descriptor: see hypervisor::attach
  int types = -1;                   ///< a descriptor: types for the profile
  std::string types_name;           ///< how the operator called it
  bool profile = false;             ///< the file may be a profile
  std::vector<int> profiles;        ///< descriptors: profiles that were found in this VM before
  bool details = false;             ///< executables and command lines of processes
  std::string format;               ///< of an exported profile or of a snapshot
  bool zstd = false;                ///< of a snapshot
  int output = -1;                  ///< a descriptor: the snapshot
  std::string output_name;          ///< how the operator called it
  std::vector<std::string> things;  ///< symbols, structures, structure.member
};

void add_options(CLI::App& flags, Options& options);

}  // namespace furnace::reader
