#include "backend/address.h"
#include "backend/progress.h"
#include "backend/sinks/record.h"
#include "backend/sinks/sink.h"
#include "base/bytes.h"
#include "fuzz.h"

// A message as an app may send it to its backend: frames cut at bytes of 0xff, then what is in the last one.
FUZZ(backend_message) {
  using namespace furnace;
  protocol::Frames frames;
  const std::string_view text = as_text(input);
  for (size_t at = 0; at <= text.size() && frames.size() < 8;) {
    const size_t end = std::min(text.find('\xff', at), text.size());
    frames.emplace_back(text.data() + at, end - at);
    at = end + 1;
  }
  for (const auto mode : {backend::Mode::Dealer, backend::Mode::Router})
    if (const auto incoming = backend::understand(frames, mode)) {
      (void)backend::way_back(*incoming, mode);
      (void)backend::way_to(*incoming, mode);
    }
  facilities::FacMessage parsed;
  if (!parsed.ParseFromArray(input.data(), static_cast<int>(input.size()))) return;
  protocol::SequenceTracker received;
  for (const auto& body : parsed.be_msg()) {
    (void)received.take(body);
    (void)backend::judge({body.outbox(), body.first(), received, body.number() / 2}, body);
    backend::Message message;
    message.content = body.has_data() ? body.data() : body.value();
    message.is_bytes = body.has_data();
    message.traceparent = body.traceparent();
    const std::vector messages{message};
    (void)backend::to_json(message);
    (void)backend::otlp_body(messages);
  }
}
