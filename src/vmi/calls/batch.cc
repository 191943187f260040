#include "vmi/calls/batch.h"

#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "base/log.h"
#include "protocol/wire_writer.h"

namespace furnace::vmi {
namespace {

using protocol::BatchError;
using protocol::Call;

static_assert(kMaxAnswerBytes > size_t{protocol::kMaxReadCount} &&
              kMaxAnswerBytes < protocol::kMaxAnswerSize);

/// The clock is read once in this number of calls, or bytes of answers: it costs as much as a small read.
constexpr int kCallsBetweenLooks = 16;
constexpr size_t kBytesBetweenLooks = 64 << 10;

void add_number(AnswerBuffer& answer, int field, int64_t value) {
  uint8_t* const start = answer.room(protocol::kLongestNumber);
  const uint8_t* const end = protocol::put_number(field, static_cast<uint64_t>(value), start);
  answer.commit(static_cast<size_t>(end - start));
}

}  // namespace

Codecs::Codecs() {
  codecs_.reserve(protocol::calls().size());
  for (const Call& call : protocol::calls()) codecs_.emplace_back(call);
}

const Codec& Codecs::of(const Call& call) const {
  return codecs_[static_cast<size_t>(&call - protocol::calls().data())];
}

BatchRun::BatchRun(const Codecs& codecs, std::span<const std::byte> body, std::shared_ptr<BufferPool> pool)
    : codecs_(codecs),
      request_(google::protobuf::Arena::CreateMessage<wire::VmiMessage>(&arena_)),
      answer_(std::move(pool)) {
  flaw_ = protocol::parse(as_text(body), *request_);
}

void BatchRun::refuse(int32_t number, int32_t location) {
  add_number(answer_, wire::VmiMessage::kErrorFieldNumber, 1);
  add_number(answer_, wire::VmiMessage::kErrorNumFieldNumber, number);
  add_number(answer_, wire::VmiMessage::kErrorLocFieldNumber, location);
  done_ = true;
}

bool BatchRun::step(CallContext& context, std::chrono::steady_clock::time_point deadline) {
  if (next_ == 0 && !done_) {
    const int count = request_->type_size();
    if (flaw_ != protocol::Flaw::None) {
      refuse(flaw_ == protocol::Flaw::Malformed ? BatchError::Malformed : BatchError::TooMuch, 0);
    } else if (count == 0 || count > protocol::kMaxCalls) {
      refuse(BatchError::CallCount, count);
    } else {
      answers_.reserve(static_cast<size_t>(count));
      seen_.resize(protocol::calls().size());
    }
  }
  context.machine.refresh();
  context.space.reset();
  size_t looked_at = answer_.size();
  while (!done_ && next_ < request_->type_size()) {
    if (!open_) run_call(context, request_->type(next_));
    while (open_ && work_on(context)) {  // what a search was for comes at once
    }
    if (open_ || wants_room_) return false;
    ++next_;
    if (!std::exchange(look_, false) && next_ % kCallsBetweenLooks != 0 &&
        answer_.size() - looked_at < kBytesBetweenLooks)
      continue;
    looked_at = answer_.size();
    if (std::chrono::steady_clock::now() >= deadline) break;
  }
  return done_ || next_ == request_->type_size();
}

void BatchRun::run_call(CallContext& context, int32_t type) {
  const Call* call = protocol::find_call(type);
  if (call == nullptr)
    return refuse(type, protocol::kUnknownTypeOffset);  // the first of its type: it ends the batch
  int& seen = seen_[static_cast<size_t>(call - protocol::calls().data())];
  const int index = seen;
  const Codec& codec = codecs_.of(*call);
  if (!codec.repeated() && index > 0) return refuse(type, index);  // can occur once

  const Codec::Message& body = codec.request(*request_, index);
  Arguments arguments = codec.decode(body);
  if (const wire::Linkage* link = codec.link(body))
    if (const auto linked = apply_link(*link, codec, arguments); !linked)
      return refuse(linked.error(), index);
  wants_room_ = !has_room_for(*call, arguments);
  if (wants_room_) return;
  ++seen;
  settle(context, *call, index, has_room(0) ? execute(context, *call, arguments) : full());
}

Reply BatchRun::full() const {
  return fail(Errc::Invalid, "the answer has {} bytes already: ask for the rest in another message",
              answer_.size());
}

/// Appends the answer of a call, or opens it if it's a long one.
void BatchRun::settle(CallContext& context, const Call& call, int index, Reply&& reply) {
  const Codec& codec = codecs_.of(call);
  const auto put_type = [&] {
    add_number(answer_, wire::VmiMessage::kTypeFieldNumber, call.answer_number());
  };
  if (auto* work = std::get_if<std::unique_ptr<LongCall>>(&reply.value)) {
    const size_t fills = (*work)->fills();
    if (has_room(fills)) {
      open_.emplace(Open{&call, index, std::move(*work), context.machine.resets(), answer_.size(), {}});
      put_type();
      if (fills != 0) open_->room = codec.room_for_bytes(fills, answer_);
      return;
    }
    reply = full();
  }
  if (reply.refusal) return refuse(*reply.refusal, index);
  if (reply.error) {
    ++context.session.counters.failed_calls;
    log::debug("{}: {}: {}", context.session.identity, call.name, reply.error->message());
  }
  put_type();
  answers_.push_back(codec.encode(reply, answer_));
}

/// One step of the open call; returns whether it was the last.
bool BatchRun::work_on(CallContext& context) {
  const size_t holds = open_->work->holds();
  wants_room_ = holds != 0 && std::min(answer_.size() + holds, kMaxAnswerBytes) > room_;
  if (wants_room_) return false;
  look_ = look_ || open_->room.empty();
  const bool was_reset = context.machine.resets() != open_->resets;
  std::optional<Reply> reply =
      was_reset ? Reply(fail(Errc::Unavailable, "the guest was reset while this call was executed"))
                : open_->work->step(context, open_->room);
  if (!reply) return false;
  const Open done = *std::exchange(open_, std::nullopt);
  if (std::holds_alternative<Filled>(reply->value)) {
    answers_.push_back(codecs_.of(*done.call).encode_filled(done.room, answer_));
    return true;
  }
  answer_.truncate(done.before);
  settle(context, *done.call, done.index, *std::move(reply));
  return true;
}

bool BatchRun::has_room_for(const Call& call, const Arguments& arguments) const {
  size_t after = answer_.size();
  if (call.verb == protocol::Verb::ReadBytes)
    after += std::min<uint64_t>(arguments.get(Number::Count).value_or(0), protocol::kMaxReadCount);
  return std::min(after, kMaxAnswerBytes) <= room_;
}

tl::expected<void, BatchError> BatchRun::apply_link(const wire::Linkage& link, const Codec& codec,
                                                    Arguments& arguments) const {
  const auto broken = [](BatchError error) { return tl::unexpected<BatchError>(error); };
  if (link.prev_msg_ix() >= static_cast<uint32_t>(request_->type_size()))
    return broken(BatchError::PreviousMessageRange);
  if (link.prev_msg_ix() >= answers_.size()) return broken(BatchError::ForwardReference);
  const EncodedAnswer& previous = answers_[link.prev_msg_ix()];
  if (link.prev_item_ix() >= previous.codec->answer_fields().size())
    return broken(BatchError::PreviousItemRange);
  const auto& source = *previous.codec->answer_fields()[link.prev_item_ix()];
  if (!is_integer(source)) return broken(BatchError::SourceNotInteger);
  if (link.cur_item_ix() >= codec.request_fields().size()) return broken(BatchError::TargetItemRange);
  const auto target = codec.number_of(link.cur_item_ix());
  if (!target) return broken(BatchError::TargetNotInteger);

  const uint64_t value = previous.integer(source);
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

wire::VmiMessage execute_batch(CallContext& context, const Codecs& codecs, const wire::VmiMessage& request) {
  const std::string body = request.SerializeAsString();
  BatchRun run(codecs, std::as_bytes(std::span(body)), std::make_shared<BufferPool>());
  while (!run.step(context, std::chrono::steady_clock::time_point::max())) {
  }
  wire::VmiMessage answer;
  const auto bytes = run.answer().bytes();
  (void)answer.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
  return answer;
}

}  // namespace furnace::vmi
