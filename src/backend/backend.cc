#include "backend/backend.h"

#include <chrono>

#include "base/bytes.h"
#include "base/log.h"
#include "base/printable.h"
#include "protocol/message_bounds.h"

namespace furnace::backend {
namespace {

constexpr const char* kDomain = "backend";  // of its allow-list

using facilities::BeMsg;
using facilities::BeMsgRet;
using facilities::FacMessage;

/// Messages that may wait for workers before no more are read from the socket.
constexpr size_t kMaxUnfinished = 1000;
/// Messages of workers that may wait for the loop.
constexpr size_t kMaxPosted = 10'000;

std::string be_message(Content content, protocol::Numbering& numbering) {
  FacMessage message;
  message.add_type(FacMessage::BE_MSG);
  auto& body = *message.add_be_msg();
  body.set_status(0);
  protocol::set_content(body, std::move(content));
  numbering.stamp(body);
  return message.SerializeAsString();
}

BeMsgRet answer_to(const BeMsg& request, Result<Content> result) {
  BeMsgRet body;
  body.set_status(result ? 0 : 1);
  if (!result) {
    body.set_value(valid_utf8(result.error().message()));
  } else {
    protocol::set_content(body, *std::move(result));
  }
  if (request.has_request_id()) body.set_request_id(request.request_id());
  return body;
}

Message message_of(const Incoming& incoming, const BeMsg& body) {
  Message message;
  static_cast<Content&>(message) = protocol::content_of(body);
  message.app = incoming.app;
  if (body.has_outbox()) message.id = fmt::format("{:016x}-{}", body.outbox(), body.number());
  message.traceparent = body.traceparent();
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  message.received_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
  return message;
}

}  // namespace

Result<std::unique_ptr<Backend>> Backend::open(zmq::context_t& context, Options options) {
  FURNACE_TRY(protocol::Authenticator authenticator, protocol::Authenticator::make(context));
  std::unique_ptr<Backend> backend(new Backend(std::move(authenticator), std::move(options)));
  FURNACE_CHECK(backend->bind(context));
  return backend;
}

Status Backend::bind(zmq::context_t& context) {
  authenticator_.guard(kDomain, options_.allowed);
  const bool routes = options_.mode == Mode::Router;
  socket_ = zmq::socket_t(context, routes ? zmq::socket_type::router : zmq::socket_type::dealer);
  publisher_ = zmq::socket_t(context, zmq::socket_type::pub);
  if (routes)
    socket_.set(zmq::sockopt::router_mandatory,
                true);  // a message to a peer that has disconnected is an error
  // Messages of up to 12 MB that wait here for each connection: few. The senders' own queues hold the others.
  constexpr int waiting_messages = 16;
  socket_.set(zmq::sockopt::rcvhwm, waiting_messages);
  FURNACE_TRY(connections_, protocol::ServerConnections::watch(context, socket_));
  FURNACE_TRY(listeners_, protocol::ServerConnections::watch(context, publisher_));
  int offset = 0;
  for (zmq::socket_t* socket : {&socket_, &publisher_}) {
    protocol::set_common_options(*socket);
    protocol::serve_curve(*socket, options_.own, kDomain);
    protocol::keep_connected(*socket, options_.ip);
    FURNACE_CHECK(protocol::bind(*socket, address(offset++)));
  }
  std::error_code error;
  own_file_time_ = std::filesystem::last_write_time(options_.own_file, error);
  FURNACE_CHECK(loop_.take_posts());
  if (options_.workers != 0) workers_ = std::make_unique<Workers>(options_.workers);
  loop_.watch(authenticator_.socket(), [this] { authenticator_.handle(); });
  for (auto* counted : {&connections_, &listeners_})
    loop_.watch((*counted)->socket(), [counted] { (*counted)->handle(); });
  watched_socket_ = loop_.watch(socket_, [this] { serve(); });
  if (options_.metrics)
    loop_.watch(options_.metrics->descriptor(), [this] { options_.metrics->answer(metrics_text()); });
  loop_.add_timer(std::chrono::seconds(1), [this] { look_after(); });
  return {};
}

void Backend::run(int stop) {
  loop_thread_ = std::this_thread::get_id();
  loop_.watch(stop, [this] { loop_.stop(); });
  loop_.run();
}

void Backend::renew_own_key() {
  std::error_code error;
  const auto time = std::filesystem::last_write_time(options_.own_file, error);
  if (error || time == own_file_time_) return;
  own_file_time_ = time;
  auto own = protocol::load_secret(options_.own_file);
  if (own && options_.allowed.find(own->public_key) != nullptr)
    own = fail(Errc::Invalid, "{}: the key of an app", options_.own_file.string());
  if (!own) return log::warning("new key: {}; the old one stays", own.error().message());
  if (own->public_key == options_.own.public_key) return;
  options_.own = *std::move(own);
  int offset = 0;
  for (zmq::socket_t* socket : {&socket_, &publisher_}) {
    socket->unbind(socket->get(zmq::sockopt::last_endpoint));
    protocol::serve_curve(*socket, options_.own, kDomain);
    if (auto bound = protocol::bind_again(*socket, address(offset++)); !bound)
      log::error("new key: {}", bound.error().message());
  }
  log::info("a new key of our own: {}", options_.own.public_key);
}

void Backend::look_after() {
  refresh_keys();
  authenticator_.tell_left_out();
  for (auto* counted : {&connections_, &listeners_}) {
    (*counted)->handle();
    (*counted)->tell_left_out();
  }
  bad_messages_.tell_left_out();
}

void Backend::refresh_keys() {
  renew_own_key();
  if (options_.allowed.refresh())
    std::erase_if(peers_,
                  [this](const auto& peer) { return !options_.allowed.allows(peer.second.key, peer.first); });
}

void Backend::serve() {
  constexpr int per_turn = 64;
  for (int i = 0; i < per_turn && !loop_.stopped(); ++i) {
    const auto frames = protocol::receive(socket_);
    if (!frames) return;
    take(*frames);
    slow_down();
  }
}

/// While the workers are busy, new messages wait at their senders.
void Backend::slow_down() {
  if (!workers_ || workers_->unfinished() < kMaxUnfinished) return;
  loop_.pause(watched_socket_, true);
}

std::string Backend::refuses(const Incoming& incoming, std::string_view key) const {
  if (!options_.allowed.allows(key, incoming.app))
    return fmt::format("the key {} is not, or no longer, one of app '{}'", key, printable(incoming.app));
  // A connection's name can be chosen by everybody who may connect: where only one app may, it is that app's.
  if (options_.mode == Mode::Router && incoming.is_direct && options_.allowed.apps() > 1)
    return fmt::format(
        "app '{}' connects under its own name, which other apps of this backend could take: start its FAC "
        "partition with --blind",
        printable(incoming.app));
  return {};
}

void Backend::take(const protocol::Frames& frames) {
  const auto incoming = understand(frames, options_.mode);
  if (!incoming) {
    ++counters_.malformed;
    return bad_messages_.warning("dropped a malformed message of {} frames", frames.size());
  }
  const auto& bytes = frames.back();
  counters_.bytes += bytes.size();
  const std::string key(protocol::key_of(bytes));
  FacMessage message;
  const auto flaw = protocol::parse(protocol::text(bytes), message);
  const bool good = flaw == protocol::Flaw::None;
  if (const std::string why = refuses(*incoming, key); !why.empty()) {
    ++counters_.refused;
    bad_messages_.warning("refused a message: {}", why);
    const BeMsg none;
    if (incoming->wants_answer)
      answer(*incoming, answer_to(good && message.be_msg_size() != 0 ? message.be_msg(0) : none,
                                  fail(Errc::Denied, "{}", why)));
    return;
  }
  // Heard: from now on the way to this app is known.
  if (options_.mode == Mode::Router) {
    Peer& peer = peers_[incoming->app];
    peer.heard = *incoming;
    peer.key = key;
  }
  if (good && message.be_msg_size() > 0) return take_message(*incoming, message.be_msg(0));
  if (good && message.flow_size() > 0) return;  // it only says that it is there
  ++counters_.malformed;
  const auto why = good ? "is none for a backend" : to_text(flaw);
  if (incoming->wants_answer)
    return answer(*incoming, answer_to({}, fail(Errc::Invalid, "the message {}", why)));
  bad_messages_.warning("dropped a message of app {}: it {}", printable(incoming->app), why);
}

void Backend::take_message(const Incoming& incoming, const BeMsg& body) {
  if (body.has_outbox()) return take_durable(incoming, body);
  Message message = message_of(incoming, body);
  message.wants_answer = incoming.wants_answer;
  if (!incoming.wants_answer) {
    ++counters_.messages;
    if (AppProgress* progress = body.run() != 0 ? options_.progress.of(incoming.app) : nullptr) {
      const uint64_t lost = progress->received.take(body);
      counters_.lost += lost;
      if (lost != 0) log::warning("{} messages of app {} were lost on the way", lost, incoming.app);
      options_.progress.save(incoming.app);
    }
    return dispatch(std::move(message), [](const Result<Content>&) {});
  }
  ++counters_.requests;
  BeMsg header;  // what the answer repeats; the content is in the message
  if (body.has_request_id()) header.set_request_id(body.request_id());
  dispatch(std::move(message), [this, incoming, header](Result<Content> result) {
    answer(incoming, answer_to(header, std::move(result)));
  });
}

void Backend::take_durable(const Incoming& incoming, const BeMsg& body) {
  AppProgress* progress = options_.progress.of(incoming.app);
  if (progress == nullptr) return answer(incoming, answer_to(body, fail(Errc::Unavailable, "too many apps")));
  switch (judge(*progress, body)) {
    case Verdict::InWork:
      ++counters_.known;
      return;
    case Verdict::Known:
      ++counters_.known;
      return acknowledge(incoming, body, *progress, false);
    case Verdict::TooEarly:
      ++counters_.early;
      return acknowledge(incoming, body, *progress, true);
    case Verdict::Deliver:
      break;
  }
  if (progress->outbox != body.outbox())
    *progress = {body.outbox(), body.number() - 1, progress->received, 0};
  progress->taken = body.number();
  BeMsg header = body;
  header.clear_value();
  header.clear_data();
  dispatch(message_of(incoming, body), [this, incoming, header, progress](const Result<Content>& result) {
    // A signal that stops us ended the callback: the message comes again at the next start. (Not if a later
    // one is taken already, by another worker: that one's number acknowledges all before it.)
    const bool is_interrupted = !result && result.error().code() == Errc::Interrupted;
    if (is_interrupted && progress->outbox == header.outbox() && progress->taken == header.number()) {
      --progress->taken;
      return;
    }
    ++counters_.durable;
    if (progress->outbox == header.outbox()) {
      progress->number = header.number();
      options_.progress.save(incoming.app);
    }
    acknowledge(incoming, header, *progress, false);
  });
}

void Backend::acknowledge(const Incoming& incoming, const BeMsg& body, const AppProgress& progress,
                          bool is_gap) {
  if (!incoming.wants_answer) return;
  BeMsgRet reply;
  reply.set_status(is_gap ? 1 : 0);
  reply.set_outbox(body.outbox());
  const uint64_t had =
      progress.outbox == body.outbox() ? std::max(progress.number, is_gap ? progress.taken : 0) : 0;
  // Where a gap is reported, what is expected next follows `number`.
  reply.set_number(is_gap ? std::max(had, body.first() - 1) : had);
  if (is_gap) reply.set_value("others before this one are missing");
  answer(incoming, reply);
}

void Backend::dispatch(Message message, std::function<void(Result<Content>)> done) {
  if (recorder_) recorder_(message);
  const auto run = [callback = callback_](const Message& received) -> Result<Content> {
    if (!callback || !*callback) return fail(Errc::Unavailable, "the backend takes no messages");
    auto answer = (*callback)(received);
    if (answer)
      if (auto fits = protocol::check_content(answer->content.size()); !fits)
        return fail(fits.error(), "the answer");
    return answer;
  };
  const auto finish = [this, done = std::move(done)](Result<Content> result) {
    if (!result) ++counters_.failed;
    done(std::move(result));
  };
  if (!workers_) return finish(run(message));
  const std::string app = message.app;
  workers_->add(app, [this, run, finish, message = std::move(message)] {
    auto result = std::make_shared<Result<Content>>(run(message));
    loop_.post([this, finish, result] {
      finish(std::move(*result));
      if (workers_ && workers_->unfinished() < kMaxUnfinished / 2) loop_.pause(watched_socket_, false);
    });
  });
}

void Backend::answer(const Incoming& incoming, const BeMsgRet& body) {
  FacMessage reply;
  reply.add_type(FacMessage::BE_MSG_RET);
  *reply.add_be_msg_ret() = body;
  if (out_.send(socket_, way_back(incoming, options_.mode), reply.SerializeAsString())) return;
  ++counters_.unsent;
  log::warning("an answer to {} was dropped: it is disconnected, or too many messages wait for it",
               printable(incoming.app));
}

Status Backend::in_loop(std::function<Status()> send) {
  if (std::this_thread::get_id() == loop_thread_) {
    Status sent = send();
    if (!sent) ++counters_.unsent;
    return sent;
  }
  if (posted_.load() >= kMaxPosted)
    return fail(Errc::Unavailable, "{} messages wait to be sent already", kMaxPosted);
  ++posted_;
  loop_.post([this, send = std::move(send)] {
    --posted_;
    if (const Status sent = send(); !sent) {
      ++counters_.unsent;
      log::warning("{}", sent.error().message());
    }
  });
  return {};
}

Status Backend::notify(std::string_view app, Content content) {
  FURNACE_CHECK(protocol::check_content(content.content.size()));
  const std::string id(app_of(app));
  FURNACE_CHECK(protocol::check_app_id(id));
  return in_loop([this, id, content = std::move(content)] { return send_to_app(id, content); });
}

Status Backend::broadcast(Content content) {
  FURNACE_CHECK(protocol::check_content(content.content.size()));
  return in_loop([this, content = std::move(content)] { return send_to_all(content); });
}

Status Backend::send_to_app(const std::string& app, Content content) {
  auto found = peers_.find(app);
  if (found == peers_.end()) {
    if (options_.mode == Mode::Router)
      return fail(Errc::Unavailable, "notify('{}'): this app is not connected, or has not been heard yet",
                  app);
    found = peers_.emplace(app, Peer{{{}, app, false, false}, {}, {}}).first;
  }
  Peer& peer = found->second;
  if (!out_.send(socket_, way_to(peer.heard, options_.mode),
                 be_message(std::move(content), peer.numbering))) {
    peer.numbering.undo();
    return fail(Errc::Unavailable,
                "notify('{}'): the app is not connected, or too many messages wait already", app);
  }
  ++counters_.notified;
  return {};
}

Status Backend::send_to_all(Content content) {
  if (!out_.send(publisher_, {}, be_message(std::move(content), broadcasts_))) {
    broadcasts_.undo();
    return fail(Errc::Unavailable, "broadcast: too much waits already");
  }
  ++counters_.broadcast;
  return {};
}

std::string Backend::metrics_text() const {
  MetricsText metrics;
  for (const CounterName& of : kCounterNames)
    metrics.single(fmt::format("furnace_backend_{}_total", of.name), of.help, {}, counters_.*of.counter);
  metrics.single("furnace_backend_open_connections", "Open connections of apps", {}, connections_->let_in(),
                 "gauge");
  metrics.single("furnace_backend_refused_connections_total", "Connections with a key that is not allowed",
                 {}, authenticator_.refused());
  metrics.single("furnace_backend_failed_handshakes_total",
                 "Connections without CURVE, with another server key, or with a recorded handshake", {},
                 connections_->failed() + listeners_->failed());
  metrics.single("furnace_backend_turned_away_connections_total",
                 "Connections closed because too many waited to be let in", {},
                 connections_->turned_away() + listeners_->turned_away());
  metrics.single("furnace_backend_apps", "Apps that were heard", {}, peers_.size(), "gauge");
  metrics.single("furnace_backend_unfinished", "Messages that wait for workers, or are in work", {},
                 workers_ ? workers_->unfinished() : 0, "gauge");
  metrics.single("furnace_backend_waiting_bytes", "Bytes that wait to be sent", {}, out_.waiting(), "gauge");
  return metrics.text();
}

}  // namespace furnace::backend
