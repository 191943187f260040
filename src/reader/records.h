// What a reader reports to the command that started it: records of a few forms, over a pipe. A guest may have
// taken the reader over, so the command believes no size, no count and no order.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace furnace::reader {

enum class RecordKind : uint8_t {
  Failed,     ///< code; why
  Process,    ///< task, pid, ppid, uid, kernel thread, what follows, state; name, executable, command line,
              ///< problem
  Gap,        ///< why processes may be missing
  Kernel,     ///< text, its physical address, root of its page table, levels, symbols, types, us; banner
  Summary,    ///< symbols, types, structures; banner
  Symbol,     ///< address, relative; name
  Structure,  ///< size; name
  Member,     ///< offset, bits; name, type
  Offset,     ///< offset; structure.member
  Text,       ///< a piece of an exported profile
  Profile,    ///< a piece of a profile to store
  Progress,   ///< bytes done, bytes in all
  Written,    ///< bytes of memory, bytes of the file; name of the VM
  Done,       ///< the last
};

/// Bits of a Process's sixth number. Process::unread is in those from kUnreadShift on.
inline constexpr uint64_t kHasExecutable = 1, kHasCommandLine = 2;
inline constexpr unsigned kUnreadShift = 8;

/// Bytes of a piece of a profile.
inline constexpr size_t kPiece = 64 << 10;

struct Record {
  RecordKind kind{};
  std::vector<uint64_t> numbers;
  std::vector<std::string> texts;
};

/// The form of a kind, and how much of it one reader may report.
struct Form {
  RecordKind kind;
  size_t numbers;
  std::array<size_t, 4> texts;  ///< the most bytes of each; 0: there is none
  uint64_t most;                ///< records
  uint64_t most_bytes;          ///< of all of them
};
[[nodiscard]] const Form& form_of(RecordKind kind);

/// Texts that are too long are cut.
[[nodiscard]] std::string encode(Record record);

/// Takes a reader's bytes apart, in whatever pieces they come.
class Decoder {
 public:
  /// `expected`: the kinds that its task has. Failed and Done are always among them.
  explicit Decoder(std::span<const RecordKind> expected);

  /// Calls `each` for every record that is whole. Errc::Invalid: it is no record, it is not expected, or it
  /// is more than a reader may report.
  [[nodiscard]] Status take(std::string_view bytes, const std::function<Status(Record)>& each);
  /// Whether the last record has come.
  [[nodiscard]] bool done() const { return done_; }

 private:
  [[nodiscard]] Result<Record> parse(std::string_view payload, const Form& form);

  struct Allowance {
    bool expected = false;
    uint64_t records = 0, bytes = 0;
  };
  std::array<Allowance, static_cast<size_t>(RecordKind::Done) + 1> left_{};
  std::string begun_;
  bool done_ = false;
};

}  // namespace furnace::reader
