// A number that its writer counts up and another process reads: how many messages a partition has handled.
#pragma once

#include <cstdint>

#include "base/fd.h"
#include "base/result.h"

namespace furnace {

class MessageCounter {
 public:
  MessageCounter() = default;  ///< its counts are not read
  /// A new one, at zero; it can't be made smaller under its reader.
  [[nodiscard]] static Result<MessageCounter> make();
  /// The one that another process has made. With a negative descriptor its counts are not read.
  [[nodiscard]] static Result<MessageCounter> open(int descriptor);

  void add();
  [[nodiscard]] uint64_t value() const;
  /// For the process that counts.
  [[nodiscard]] Result<Fd> duplicate() const;

 private:
  explicit MessageCounter(Fd file) : file_(std::move(file)) {}
  [[nodiscard]] Status map();

  Fd file_;
  Mapping memory_;
};

}  // namespace furnace
