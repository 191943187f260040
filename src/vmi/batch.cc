#include "vmi/batch.h"

#include <unordered_map>

namespace furnace::vmi {
namespace {

using protocol::BatchError;
using protocol::Call;

/// An answer that later calls may link to.
struct Answered {
  const Codec* codec;
  const Codec::Message* answer;
};

/// An answer stays below what a peer takes (kMaxMessageSize): no call is run once the results before it are
/// this large.
constexpr size_t kMaxAnswerBytes = protocol::kMaxMessageSize - 2 * size_t{protocol::kMaxReadCount};

wire::VmiMessage& refuse(wire::VmiMessage& answer, int32_t number, int32_t location) {
  answer.set_error(true);
  answer.set_error_num(number);
  answer.set_error_loc(location);
  return answer;
}

/// Replaces the argument that `link` names by what it makes of an earlier answer's field.
tl::expected<void, BatchError> apply_link(const wire::Linkage& link, const Codec& codec,
                                          const std::vector<Answered>& answers, size_t calls,
                                          Arguments& arguments) {
  const auto broken = [](BatchError error) { return tl::unexpected<BatchError>(error); };
  if (link.prev_msg_ix() >= calls) return broken(BatchError::PreviousMessageRange);
  if (link.prev_msg_ix() >= answers.size()) return broken(BatchError::ForwardReference);
  const Answered& previous = answers[link.prev_msg_ix()];
  if (link.prev_item_ix() >= previous.codec->answer_fields().size())
    return broken(BatchError::PreviousItemRange);
  const auto& source = *previous.codec->answer_fields()[link.prev_item_ix()];
  if (!is_integer(source)) return broken(BatchError::SourceNotInteger);
  if (link.cur_item_ix() >= codec.request_fields().size()) return broken(BatchError::TargetItemRange);
  const auto target = codec.number_of(link.cur_item_ix());
  if (!target) return broken(BatchError::TargetNotInteger);

  const uint64_t value = integer(*previous.answer, source);
  const uint64_t argument = arguments.get(*target).value_or(0);
  if (!link.has_operator_()) return broken(BatchError::BadOperator);
  switch (link.operator_()) {
    case wire::Linkage::F_ADD:
      arguments.set(*target, argument + value);
      break;
    case wire::Linkage::F_SUB:
      if (argument < value) return broken(BatchError::NegativeResult);
      arguments.set(*target, argument - value);
      break;
    case wire::Linkage::F_OVERWRITE:
      arguments.set(*target, value);
      break;
  }
  return {};
}

}  // namespace

Codecs::Codecs() {
  codecs_.reserve(protocol::calls().size());
  for (const Call& call : protocol::calls()) codecs_.emplace_back(call);
}

const Codec& Codecs::of(const Call& call) const {
  return codecs_[static_cast<size_t>(&call - protocol::calls().data())];
}

wire::VmiMessage execute_batch(CallContext& context, const Codecs& codecs, const wire::VmiMessage& request) {
  wire::VmiMessage answer;
  const auto count = static_cast<size_t>(request.type_size());
  if (count == 0 || count > protocol::kMaxCalls)
    return refuse(answer, static_cast<int32_t>(BatchError::CallCount),
                  static_cast<int32_t>(std::min<size_t>(count, INT32_MAX)));

  context.machine.refresh();
  std::vector<Answered> answers;
  answers.reserve(count);
  size_t answer_bytes = 0;
  std::unordered_map<int32_t, int> seen;  // calls of each type so far
  for (const int32_t type : request.type()) {
    const Call* call = protocol::find_call(type);
    const int index = seen[type]++;
    if (call == nullptr) return refuse(answer, type, index + protocol::kUnknownTypeOffset);
    const Codec& codec = codecs.of(*call);
    if (!codec.repeated() && index > 0) return refuse(answer, type, index);  // can occur once

    const Codec::Message& body = codec.request(request, index);
    Arguments arguments = codec.decode(body);
    if (codec.link_field() != nullptr && body.GetReflection()->HasField(body, codec.link_field())) {
      const auto& link =
          dynamic_cast<const wire::Linkage&>(body.GetReflection()->GetMessage(body, codec.link_field()));
      if (const auto linked = apply_link(link, codec, answers, count, arguments); !linked)
        return refuse(answer, static_cast<int32_t>(linked.error()), index);
    }
    answer.add_type(call->answer_number());
    Codec::Message& reply = codec.add_answer(answer);
    if (answer_bytes <= kMaxAnswerBytes) {
      codec.encode(execute(context, *call, arguments), reply);
    } else {
      codec.encode(fail(Errc::Invalid, "the answer has {} bytes already: ask for the rest in another message",
                        answer_bytes),
                   reply);
    }
    answer_bytes += reply.ByteSizeLong();
    answers.push_back({&codec, &reply});
  }
  return answer;
}

wire::VmiMessage malformed_answer() {
  wire::VmiMessage answer;
  return refuse(answer, static_cast<int32_t>(BatchError::Malformed), 0);
}

}  // namespace furnace::vmi
