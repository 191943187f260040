// Starts a reader (reader/reader.h) inside its walls, and takes its report.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "hypervisor/driver.h"
#include "reader/records.h"
#include "vmi/profile_store.h"

namespace furnace::launch {

/// What a reader is to do, and all that it gets for that.
class Reading {
 public:
  /// `task`: see reader/options.h. `unconfined`: without walls, with our rights, and loudly.
  Reading(std::string task, std::vector<reader::RecordKind> expected, bool unconfined);

  /// Attaches to a VM as a partition does, or opens a file, and lends it.
  [[nodiscard]] Status add_vm(const std::string& vm);
  /// A file that may be a profile, and a snapshot or a description if it is none.
  [[nodiscard]] Status add_profile_or_vm(const std::string& file, const std::string& types);
  void add_arguments(std::initializer_list<std::string> arguments);
  /// A descriptor, as the value of an option.
  void lend(const std::string& option, Fd descriptor);
  /// Bytes that files which it writes may have; 0, which is the default: it writes none.
  void allow_writing(uint64_t bytes) { file_size_ = bytes; }
  /// The end of the VM's memory, if that is known without parsing what others wrote.
  [[nodiscard]] std::optional<uint64_t> memory_end() const { return memory_end_; }

  /// Runs it to its end and hands `take` what it reports. `stop`: becomes readable when the reader is to be
  /// killed (Errc::Interrupted). Whatever it reports, this takes bounded memory.
  [[nodiscard]] Status run(const std::function<Status(reader::Record)>& take, const Fd& stop = Fd());

 private:
  [[nodiscard]] Status add_file(const std::string& path);
  [[nodiscard]] Status borrow_vm(const std::string& vm, const hypervisor::Driver& driver);
  [[nodiscard]] Status prepare_for_kdump(const Fd& file);
  void lend_profiles(const std::string& vm);
  /// Whether the report came to its end.
  [[nodiscard]] Result<bool> receive(const Fd& pipe, const Fd& stop,
                                     const std::function<Status(reader::Record)>& take);
  [[nodiscard]] Status take_record(reader::Record record, const std::function<Status(reader::Record)>& take);

  std::string vm_;
  std::vector<std::string> arguments_;
  std::vector<Fd> handles_;
  Fd broker_;  ///< readable when it has exited
  std::vector<reader::RecordKind> expected_;
  bool unconfined_;
  bool forks_ = false;  ///< for a kdump file
  uint64_t file_size_ = 0;
  std::optional<uint64_t> memory_end_;
  std::optional<vmi::ProfileStore> profiles_;
  std::string profile_;           ///< to store, as it comes
  std::optional<Error> failure_;  ///< that the reader reported
};

}  // namespace furnace::launch
