// A reader's end of the pipe to its command.
#pragma once

#include "base/fd.h"
#include "reader/records.h"

namespace furnace::reader {

class Report {
 public:
  explicit Report(Fd pipe) : pipe_(std::move(pipe)) {}

  /// Records are collected; `flush` sends what is left.
  [[nodiscard]] Status add(Record record);
  /// Adds bytes in pieces of one kind.
  [[nodiscard]] Status add_pieces(RecordKind kind, std::string_view bytes);
  [[nodiscard]] Status flush();

 private:
  Fd pipe_;
  std::string waiting_;
};

}  // namespace furnace::reader
