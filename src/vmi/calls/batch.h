// A message of 1 to 1000 calls: runs them in order, feeds earlier answers into later calls (links), and stops
// at the first that can't be run (wire.md section 1).
#pragma once

#include <google/protobuf/arena.h>

#include <chrono>
#include <vector>

#include "protocol/message_bounds.h"
#include "vmi/calls/answer_buffer.h"
#include "vmi/calls/calls.h"

namespace furnace::vmi {

/// A partition has 64 MB for all apps, and lives on 20: an answer takes a part of the rest. One read of the
/// largest size fits.
inline constexpr size_t kMaxAnswerBytes = 24 << 20;

/// The codecs of all calls, made once.
class Codecs {
 public:
  Codecs();
  [[nodiscard]] const Codec& of(const protocol::Call& call) const;

 private:
  std::vector<Codec> codecs_;
};

/// One message on its way: executed piece by piece, so that others are served in between. Whatever it holds,
/// the answer is complete in the end.
class BatchRun {
 public:
  /// `body` as it came. It may be no message at all.
  BatchRun(const Codecs& codecs, std::span<const std::byte> body, std::shared_ptr<BufferPool> pool);

  /// How large the answer may become for now. A call that would make it larger waits for more room.
  void set_room(size_t bytes) {
    room_ = bytes;
    wants_room_ = false;
  }
  [[nodiscard]] bool wants_room() const { return wants_room_; }
  /// Whether it is in the middle of a long call.
  [[nodiscard]] bool in_long_call() const { return open_.has_value(); }

  /// Executes calls until all are done (true), `deadline` is past, one waits for room, or a long one has more
  /// to do.
  bool step(CallContext& context, std::chrono::steady_clock::time_point deadline);

  [[nodiscard]] AnswerBuffer& answer() { return answer_; }

 private:
  /// A long call that is not done yet.
  struct Open {
    const protocol::Call* call;
    int index;  ///< among the calls of its type
    std::unique_ptr<LongCall> work;
    uint64_t resets;            ///< of the VM, when it began
    size_t before;              ///< bytes of the answer without its own
    std::span<std::byte> room;  ///< in the answer, for what it fills
  };

  void run_call(CallContext& context, int32_t type);
  void settle(CallContext& context, const protocol::Call& call, int index, Reply&& reply);
  [[nodiscard]] bool work_on(CallContext& context);
  [[nodiscard]] bool has_room(size_t more) const { return answer_.size() + more <= kMaxAnswerBytes; }
  [[nodiscard]] Reply full() const;
  [[nodiscard]] bool has_room_for(const protocol::Call& call, const Arguments& arguments) const;
  void refuse(int32_t number, int32_t location);
  void refuse(protocol::BatchError error, int32_t location) { refuse(static_cast<int32_t>(error), location); }
  [[nodiscard]] tl::expected<void, protocol::BatchError> apply_link(const wire::Linkage& link,
                                                                    const Codec& codec,
                                                                    Arguments& arguments) const;

  const Codecs& codecs_;
  google::protobuf::Arena arena_;
  wire::VmiMessage* request_;
  protocol::Flaw flaw_;  // of the body: then it is not run
  AnswerBuffer answer_;
  std::vector<EncodedAnswer> answers_;
  std::vector<int> seen_;  // calls of each row of the table so far
  std::optional<Open> open_;
  int next_ = 0;
  bool done_ = false;
  size_t room_ = kMaxAnswerBytes;
  bool wants_room_ = false;
  bool look_ = false;  // at the clock, after this call
};

/// Runs a message to its end and returns the answer.
[[nodiscard]] wire::VmiMessage execute_batch(CallContext& context, const Codecs& codecs,
                                             const wire::VmiMessage& request);

}  // namespace furnace::vmi
