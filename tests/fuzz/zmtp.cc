#include <cstdlib>

#include "fuzz.h"
#include "zmtp/decoder.h"

// What a peer sends to an app's socket. The first byte says in pieces of what size it comes.
FUZZ(zmtp) {
  using namespace furnace::zmtp;
  if (input.empty()) return;
  const size_t piece = 1 + std::to_integer<size_t>(input[0]);
  constexpr size_t most = 4096;
  const DecoderLimits limits{.message = most, .parts = 20, .parts_kept = 8, .command = 256};
  Decoder decoder(limits);
  for (input = input.subspan(1); !input.empty(); input = input.subspan(std::min(piece, input.size()))) {
    auto front = input.first(std::min(piece, input.size()));
    for (bool more = true; more;) {
      const auto step = decoder.read(front);
      if (!step) return;
      more = *step != Decoder::Step::More;
      if (*step == Decoder::Step::Room) {
        if (decoder.wanted() > most) std::abort();
        decoder.allow(decoder.wanted());
      } else if (*step == Decoder::Step::Command) {
        if (const auto command = decoder.command()) {
          (void)parse_ready(command->data);
          (void)pong_command(command->data);
        }
      } else if (*step == Decoder::Step::Message) {
        size_t size = 0;
        const Message message = decoder.take();
        for (const Part& part : message.parts) size += part.size();
        if (size > most || message.parts.size() > limits.parts_kept) std::abort();
      }
    }
  }
}
