#include "facilities/server.h"

#include <array>

#include "base/bytes.h"
#include "base/file.h"
#include "base/log.h"
#include "base/printable.h"
#include "facilities/calls.h"
#include "protocol/error_code.h"
#include "protocol/message_bounds.h"
#include "protocol/sequence.h"

namespace furnace::facilities {

namespace {

/// Bytes that the app may leave unread, of what the partition may take of memory (300 MB).
constexpr size_t kUnread = 32 << 20;

}  // namespace

Server::Server(Options options, Storage storage, Outbox outbox, MessageCounter counter)
    : options_(std::move(options)),
      storage_(std::move(storage)),
      counter_(std::move(counter)),
      courier_(std::move(outbox), counters_,
               [this](const FacMessage& message) { return line_->ask(message); }),
      // Anywhere, so that an answer to a request of an earlier run is not taken for one of this.
      last_request_(protocol::random_number()) {}

Result<std::unique_ptr<Server>> Server::bind(zmq::context_t& context, Options options, Storage storage,
                                             Outbox outbox) {
  FURNACE_CHECK(protocol::check_app_id(options.line.app));
  auto lock = lock_file(options.directory + "/fac_rtr.lock");
  if (!lock && lock.error().code() == Errc::Unavailable)
    return fail(Errc::Unavailable, "{}/fac_rtr: another FAC partition serves there", options.directory);
  if (!lock) return fail(lock.error(), "socket directory");
  FURNACE_TRY(MessageCounter counter, MessageCounter::open(options.counter));
  std::unique_ptr<Server> server(
      new Server(std::move(options), std::move(storage), std::move(outbox), std::move(counter)));
  FURNACE_CHECK(server->open(context, *std::move(lock)));
  return server;
}

Status Server::open(zmq::context_t& context, Fd lock) {
  lock_ = std::move(lock);
  zmtp::Handlers handlers;
  handlers.message = [this](const zmtp::Peer& peer, const zmtp::Message& message) {
    serve_app(peer, message);
  };
  handlers.owner = [](std::string_view identity) { return std::string(protocol::app_of(identity)); };
  FURNACE_TRY(sockets_, zmtp::Server::make({}, std::move(handlers)));
  const std::string& directory = options_.directory;
  FURNACE_TRY(router_, sockets_->listen(directory + "/fac_rtr", zmtp::Kind::Router, {}));
  FURNACE_TRY(publisher_, sockets_->listen(directory + "/fac_pub", zmtp::Kind::Publisher, {}));
  FURNACE_TRY(tap_, Tap::bind(*sockets_, directory));
  loop_.watch(sockets_->descriptor(), [this] { serve_sockets(); });
  loop_.watch([this] { return sockets_->time_to_wait().count() == 0; }, [this] { serve_sockets(); });
  loop_.add_timer(std::chrono::seconds(1), [this] { serve_sockets(); });  // what takes too long
  if (options_.metrics)
    loop_.watch(options_.metrics->descriptor(), [this] { options_.metrics->answer(metrics_text()); });

  LineEvents events;
  events.answer = [this](const FacMessage& message) { take_backend_answer(message); };
  events.answers_taken = [this] { turn(); };
  events.message = [this](std::string_view bytes) { relay_notification(bytes); };
  events.broadcast = [this](std::string_view bytes) { relay_broadcast(bytes); };
  events.malformed = [this] { ++counters_.dropped; };
  events.connected = [this] {
    ++counters_.connections;
    courier_.rewind();
    turn();
  };
  FURNACE_TRY(line_, Line::connect(context, options_.line, loop_, std::move(events)));
  turn();
  return {};
}

void Server::run(int stop) {
  loop_.watch(stop, [this] { loop_.stop(); });
  loop_.run();
}

void Server::turn() {
  const auto now = Clock::now();
  expire_request(now);
  courier_.rewind_if_late(now);
  // Answers of backends of 1.0 don't say what they are to: one thing at a time then.
  const bool request_under_way = pending_ && pending_->is_sent;
  if (line_->connected() && (peer_numbers_ || !request_under_way)) courier_.pump(!peer_numbers_, now);
  if (pending_ && !pending_->is_sent && (peer_numbers_ || !courier_.is_one_under_way())) send_request();
  if (is_open_ == line_->is_filling()) tell_flow(!is_open_);
  deliver_held(now);

  const bool waits = pending_ || !is_open_ || !held_.empty() || courier_.outbox().waiting() != 0;
  constexpr std::chrono::milliseconds tick(20);
  if (waits && !ticks_) ticks_ = loop_.add_timer(tick, [this] { turn(); });
  if (!waits && ticks_) {
    loop_.remove_timer(*ticks_);
    ticks_.reset();
  }
}

void Server::serve_sockets() {
  sockets_->turn();
  turn();
}

void Server::serve_app(const zmtp::Peer& peer, const zmtp::Message& message) {
  counter_.add();
  const auto& parts = message.parts;
  if (parts.size() < 2 || !parts.front().empty()) return serve_one_way(peer.identity, message);
  const bool is_whole = parts.size() == 2 && message.left_out == 0;
  serve_request(peer.identity, is_whole ? as_text(parts.back().bytes()) : std::string_view());
}

void Server::serve_request(const std::string& identity, std::string_view body) {
  FacMessage request;
  if (identity != protocol::call_identity(app())) {
    log::warning("refused a request of '{}': this FAC partition serves {}", printable(identity), app());
    ++counters_.refused;
    return answer(identity, failed_request({Errc::Denied, "not the app of this FAC partition"}));
  }
  if (const auto flaw = protocol::parse(body, request); flaw != protocol::Flaw::None) {
    ++counters_.dropped;
    return answer(identity, failed_request({Errc::Invalid, fmt::format("the message {}", to_text(flaw))}));
  }
  if (request.type_size() == 1 && request.type(0) == FacMessage::BE_MSG) {
    if (request.be_msg_size() == 1) return forward_request(request.be_msg(0), identity);
    return answer(identity, failed_request({Errc::Invalid, "a request to the backend without content"}));
  }
  if (request.type_size() == 1 && request.type(0) == FacMessage::KEEP) return keep(request, identity);
  answer(identity, execute(storage_, request, counters_));
}

void Server::answer(std::string_view identity, const FacMessage& answer) {
  if (!send(identity, true, answer.SerializeAsString())) ++counters_.dropped;
}

bool Server::send(std::string_view identity, bool is_answer, std::string body) {
  const auto kept = std::make_shared<const std::string>(std::move(body));
  const std::array<zmtp::Outgoing, 2> parts{zmtp::Outgoing{}, zmtp::Outgoing{as_bytes(*kept), kept}};
  return sockets_->send(router_, identity, std::span(parts).subspan(is_answer ? 0 : 1), kUnread);
}

void Server::keep(const FacMessage& request, const std::string& identity) {
  FacMessage out;
  out.add_type(FacMessage::KEEP_RET);
  auto& result = *out.add_keep_ret();
  const Status kept = request.keep_size() == 1
                          ? courier_.keep(request.keep(0))
                          : Status(fail(Errc::Invalid, "one message at a time can be kept"));
  result.set_status(kept ? 0 : 1);
  if (!kept) {
    result.set_reason(valid_utf8(kept.error().message()));
    result.set_code(protocol::code_of(kept.error().code()));
  }
  if (kept) tap_->show("app>backend", "durable", request.keep(0));
  answer(identity, out);
}

void Server::forward_request(const BeMsg& message, const std::string& identity) {
  // An app that asks again has given the request before up.
  const auto timeout =
      message.timeout_ms() != 0 ? std::chrono::milliseconds(message.timeout_ms()) : options_.request_timeout;
  pending_ = Pending{identity, message, Clock::now() + timeout};
  pending_->message.set_request_id(++last_request_);
  ++counters_.requests;
  tap_->show("app>backend", "request", message);
}

void Server::send_request() {
  FacMessage out;
  out.add_type(FacMessage::BE_MSG);
  *out.add_be_msg() = pending_->message;
  pending_->is_sent = true;
  if (!line_->ask(out))
    answer_request(
        failed_request({Errc::Unavailable,
                        "the proxy does not take it: it refuses our key, or too much waits for it already"}));
}

void Server::answer_request(const FacMessage& message) {
  if (!pending_) return;
  answer(pending_->identity, message);
  pending_.reset();
}

void Server::take_backend_answer(const FacMessage& message) {
  counter_.add();
  const BeMsgRet& body = message.be_msg_ret(0);
  if (body.has_request_id() || body.has_outbox()) peer_numbers_ = true;
  const bool request_awaits = pending_ && pending_->is_sent;
  // A backend of 1.0 sends no id; its answer is then taken for the one that is awaited.
  if (body.has_outbox() || (!body.has_request_id() && !request_awaits && courier_.is_one_under_way()))
    return courier_.take(body);
  if (!request_awaits || (body.has_request_id() && body.request_id() != pending_->message.request_id())) {
    log::debug("dropped an answer that came after its request's time");
    ++counters_.dropped;
    return;
  }
  ++counters_.answers;
  tap_->show("backend>app", "answer", body);
  answer_request(message);
}

void Server::expire_request(Clock::time_point now) {
  if (!pending_ || now < pending_->deadline) return;
  ++counters_.timeouts;
  log::warning("no answer from the backend in time; the proxy is {}connected",
               line_->connected() ? "" : "not ");
  // Where a request found no answer, something may be wrong with the connection itself.
  if (line_->connected()) line_->renew_requests();
  answer_request(failed_request(
      {Errc::Unavailable, line_->connected()
                              ? "no answer from the backend in time"
                              : "no answer from the backend in time: no connection to the proxy"}));
}

void Server::serve_one_way(const std::string& identity, const zmtp::Message& received) {
  FacMessage message;
  if (received.parts.size() != 1 || identity != protocol::message_identity(app())) {
    ++counters_.refused;
    return;
  }
  const std::string_view body = as_text(received.parts.front().bytes());
  if (!parse_be_message(body, message) || !line_->tell(body)) {
    ++counters_.dropped;
    return;
  }
  ++counters_.sent;
  if (message.be_msg(0).run() != 0) app_numbers_ = true;
  tap_->show("app>backend", "notify", message.be_msg(0));
}

void Server::tell_flow(bool open) {
  is_open_ = open;
  if (!app_numbers_) return;
  FacMessage message;
  message.add_type(FacMessage::FLOW);
  message.add_flow()->set_open(open);
  (void)send(protocol::message_identity(app()), false, message.SerializeAsString());
}

void Server::relay_notification(std::string_view bytes) {
  counter_.add();
  FacMessage message;
  if (!parse_be_message(bytes, message)) {
    ++counters_.dropped;
    return;
  }
  ++counters_.received;
  tap_->show("backend>app", "notify", message.be_msg(0));
  if (held_.empty() && send_to_app(bytes)) return;
  // An app that was just started, or is slow for a moment, should not miss it.
  constexpr size_t most = 1000, most_bytes = 16 << 20;
  constexpr std::chrono::seconds time(10);
  if (held_.size() >= most || held_bytes_ + bytes.size() > most_bytes) {
    ++counters_.dropped;
    return;
  }
  held_bytes_ += bytes.size();
  held_.push_back({std::string(bytes), Clock::now() + time});
  turn();
}

bool Server::send_to_app(std::string_view bytes) {
  return send(protocol::message_identity(app()), false, std::string(bytes));
}

void Server::deliver_held(Clock::time_point now) {
  while (!held_.empty()) {
    if (!send_to_app(held_.front().bytes)) {
      if (now < held_.front().until) return;
      ++counters_.dropped;
    }
    held_bytes_ -= held_.front().bytes.size();
    held_.pop_front();
  }
}

void Server::relay_broadcast(std::string_view bytes) {
  counter_.add();
  FacMessage message;
  if (!parse_be_message(bytes, message)) {
    ++counters_.dropped;
    return;
  }
  sockets_->publish(publisher_, bytes, kUnread);
  ++counters_.broadcasts;
  tap_->show("backend>app", "broadcast", message.be_msg(0));
}

std::string Server::metrics_text() const {
  MetricsText metrics;
  for (const CounterName& of : kCounterNames)
    metrics.single(fmt::format("furnace_fac_{}_total", of.name), of.help, {{"app", app()}},
                   counters_.*of.counter);
  metrics.single("furnace_fac_stored_bytes", "Bytes of all stored values", {{"app", app()}}, storage_.used(),
                 "gauge");
  metrics.single("furnace_fac_quota_bytes", "Bytes that may be stored", {{"app", app()}}, storage_.quota(),
                 "gauge");
  metrics.single("furnace_fac_outbox_messages", "Durable messages that wait for the backend",
                 {{"app", app()}}, courier_.outbox().waiting(), "gauge");
  metrics.single("furnace_fac_outbox_bytes", "What they take", {{"app", app()}}, courier_.outbox().used(),
                 "gauge");
  metrics.single("furnace_fac_waiting_bytes", "Bytes that wait for the proxy", {{"app", app()}},
                 line_->waiting(), "gauge");
  metrics.single("furnace_fac_connected", "Whether the proxy is connected", {{"app", app()}},
                 line_->connected() ? 1 : 0, "gauge");
  return metrics.text();
}

}  // namespace furnace::facilities
