// The calls of the VMI socket as data: the 61 of 1.0, and those since. Server, client, Python module,
// documentation and tests are driven by these rows; spec: wire.md section 1, vmi-messages.tsv, tenant-api.md.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace furnace::protocol {

/// What a call does; calls that differ only in width or in how they address memory share a verb.
enum class Verb : uint8_t {
  EventClear,
  EventRegister,
  EventsStart,
  EventsStop,
  GetAccessMode,
  GetMemsize,
  GetName,
  GetOffset,
  GetOstype,
  GetPageMode,
  GetVcpureg,
  GetVmid,
  GetWinver,
  GetWinverStr,
  LookupStructure,
  LookupSymbol,
  PauseVm,
  ProcessList,
  ReadBytes,
  ReadNumber,
  ReadString,
  ResumeVm,
  StartSyscall,
  Status,
  StopSyscall,
  TranslateKernel,
  TranslateSymbol,
  TranslateUser,
  WriteBytes,
  WriteNumber,
  DescribeStructure,
};

/// How a call addresses memory.
enum class Target : uint8_t { None, Physical, Virtual, Symbol };

/// What the answer carries besides the status.
enum class AnswerKind : uint8_t { Status, Number, Text, Bytes, Written, Processes, Identifier, Structure };

/// What an app must be permitted for a call (`--forbid`).
enum class Needs : uint8_t {
  Nothing,  ///< every app may: read, and undo what it has done itself
  Write,    ///< write to the VM's memory
  Pause,    ///< pause the VM; SYNC events need it, too
  Events,   ///< register events
};

/// The word of `--forbid`; "-" for Nothing.
[[nodiscard]] std::string_view word_of(Needs needs);

struct Call {
  int32_t number;         ///< VmiMessage::Type, and the number of the field that holds the request
  std::string_view name;  ///< as in the specification and in Python
  Verb verb;
  Target target;
  uint8_t width;               ///< bytes of a number read or written; 0: as the guest's pointers
  std::string_view arguments;  ///< field names in the order of the Python function, separated by spaces
  Needs needs;                 ///< in the middle: a row without it does not compile
  AnswerKind answer;
  std::string_view summary;

  /// The version of the protocol that brought it: what 1.0 did not have has numbers from 200 on.
  [[nodiscard]] std::string_view since() const { return number < 200 ? "1.0" : "1.1"; }

  /// The number of the answer (STATUS is answered by STATUS).
  [[nodiscard]] int32_t answer_number() const { return verb == Verb::Status ? number : number + 1; }
};

/// All calls, in order of their numbers.
[[nodiscard]] std::span<const Call> calls();

/// The call with this number or name, or nullptr.
[[nodiscard]] const Call* find_call(int32_t number);
[[nodiscard]] const Call* find_call(std::string_view name);

/// Values of `error_num` of a refused batch. Below 200: fixed by 1.0.
enum class BatchError : int32_t {
  ForwardReference = 10,
  PreviousMessageRange = 11,
  PreviousItemRange = 18,
  SourceNotInteger = 20,
  TargetItemRange = 22,
  TargetNotInteger = 25,
  NegativeResult = 26,
  BadOperator = 27,
  Malformed = 200,    ///< the body is not a VmiMessage
  CallCount = 201,    ///< no call, or more than kMaxCalls
  EventLimit = 202,   ///< more than the registered events one app may have
  Outstanding = 203,  ///< too many messages of this app wait already
  Identity = 204,     ///< not the app whose socket this is
  TooMuch = 205,      ///< more sub-messages, fields or bytes than a message may hold
};

inline constexpr int kMaxCalls = 1000;
inline constexpr int32_t kUnknownTypeOffset = 10000;     ///< added to error_loc for an unknown type
inline constexpr int32_t kMaxReadCount = (1 << 24) - 1;  ///< bytes of one read
inline constexpr size_t kMaxString = 4096;               ///< bytes of one read_str
inline constexpr size_t kMaxFieldSize = 11'056'943;      ///< bytes of a text or bytes field
inline constexpr int64_t kMaxMessageSize = 12 << 20;     ///< bytes of a frame; larger ones end the connection
inline constexpr int64_t kMaxAnswerSize = 64 << 20;      ///< the same, of one from our own side's partition

}  // namespace furnace::protocol
