// A message of 1 to 1000 calls: runs them in order, feeds earlier answers into later calls (links), and stops
// at the first that can't be run (wire.md section 1).
#pragma once

#include "vmi/calls.h"

namespace furnace::vmi {

/// The codecs of all calls, made once.
class Codecs {
 public:
  Codecs();
  [[nodiscard]] const Codec& of(const protocol::Call& call) const;

 private:
  std::vector<Codec> codecs_;
};

/// Executes the calls of `request`. Whatever it holds, the result is a complete answer.
[[nodiscard]] wire::VmiMessage execute_batch(CallContext& context, const Codecs& codecs,
                                             const wire::VmiMessage& request);

/// The answer to a body that is no VmiMessage.
[[nodiscard]] wire::VmiMessage malformed_answer();

}  // namespace furnace::vmi
