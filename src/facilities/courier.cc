#include "facilities/courier.h"

#include <algorithm>

#include "base/log.h"
#include "protocol/message_bounds.h"

namespace furnace::facilities {
namespace {

constexpr uint64_t kMaxUnderWay = 64;
constexpr size_t kMaxBytesUnderWay = 4 << 20;
constexpr std::chrono::seconds kPatience(3), kMaxPatience(10);

}  // namespace

Status Courier::keep(const BeMsg& message) {
  FURNACE_CHECK(outbox_.append(message.SerializeAsString(), {message.run(), message.sequence()}));
  ++counters_.kept;
  return {};
}

void Courier::wait_from(Clock::time_point now) {
  late_ =
      is_one_under_way() ? now + std::max<Clock::duration>(patience_, kPatience) : Clock::time_point::max();
}

void Courier::pump(bool one_at_a_time, Clock::time_point now) {
  settle(now);
  next_ = std::max(next_, outbox_.first());
  if (!is_one_under_way()) bytes_under_way_ = 0;
  while (next_ < outbox_.next()) {
    const uint64_t under_way = next_ - outbox_.first();
    if (under_way >= (one_at_a_time ? 1 : kMaxUnderWay) || bytes_under_way_ >= kMaxBytesUnderWay) return;
    const auto message = outbox_.at_least(next_);
    if (!message) return log::error("outbox: {}", message.error().message());
    if (!*message) return;
    FacMessage out;
    out.add_type(FacMessage::BE_MSG);
    auto& body = *out.add_be_msg();
    if (protocol::parse((*message)->content, body) != protocol::Flaw::None)
      log::error("outbox: message {} is damaged", (*message)->number);
    body.clear_run();  // not of the one-way messages that are counted
    body.clear_sequence();
    body.set_outbox(outbox_.id());
    body.set_number((*message)->number);
    body.set_first(outbox_.first());
    if (!send_(out)) return;
    const bool first_under_way = !is_one_under_way();
    if (next_ <= sent_) ++counters_.resent;
    sent_ = std::max(sent_, next_);
    next_ = (*message)->number + 1;
    bytes_under_way_ += (*message)->content.size();
    if (first_under_way) wait_from(now);
  }
}

void Courier::take(const BeMsgRet& answer) {
  if (answer.has_outbox() && answer.outbox() != outbox_.id()) return;
  const uint64_t delivered = answer.has_outbox() ? answer.number() : outbox_.first();
  if (delivered >= outbox_.first() && delivered < next_) delivered_ = std::max(delivered_, delivered);
  // The backend misses some that were sent before this one.
  if (answer.has_outbox() && answer.status() != 0)
    next_ = std::max(outbox_.first(), std::min(next_, delivered + 1));
}

void Courier::settle(Clock::time_point now) {
  if (delivered_ < outbox_.first()) return;
  const uint64_t before = outbox_.first();
  if (auto done = outbox_.acknowledge(delivered_); !done)
    return log::error("outbox: {}", done.error().message());
  counters_.delivered += outbox_.first() - before;
  bytes_under_way_ = 0;  // an estimate: the window opens again with each acknowledgement
  patience_ = {};
  wait_from(now);
}

void Courier::rewind() {
  next_ = outbox_.first();
  bytes_under_way_ = 0;
  late_ = Clock::time_point::max();
}

void Courier::rewind_if_late(Clock::time_point now) {
  if (now < late_) return;
  const auto patience =
      std::min<Clock::duration>(std::max<Clock::duration>(patience_, kPatience) * 2, kMaxPatience);
  rewind();
  patience_ = patience;
}

}  // namespace furnace::facilities
