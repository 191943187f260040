#include "app/native/host.h"

#include <algorithm>
#include <array>

#include "app/batch_message.h"
#include "app/native/event.h"
#include "base/bytes.h"
#include "base/enum_table.h"
#include "base/log.h"
#include "base/printable.h"
#include "base/shared_object.h"
#include "protocol/error_code.h"

namespace furnace::app {
namespace {

using tenant::Gpa;
using tenant::Gva;
using tenant::Pid;

static_assert(static_cast<int>(tenant::ErrorCode::Failed) == wire::ErrorCode_MIN &&
                  static_cast<int>(tenant::ErrorCode::Gone) == wire::ErrorCode_MAX,
              "kinds of errors have the same numbers in C++ and on the wire");

tl::unexpected<tenant::Error> outward(const Error& error) {
  return tl::unexpected<tenant::Error>(
      tenant::Error{error.message(), static_cast<tenant::ErrorCode>(protocol::code_of(error.code()))});
}
tenant::Status outward(const Status& status) {
  return status ? tenant::Status() : outward(status.error());
}
template <typename T>
tenant::Result<T> outward(Result<T> result) {
  if (!result) return outward(result.error());
  return *std::move(result);
}
Result<std::chrono::milliseconds> time_limit(double seconds) {
  constexpr double most = 86'400, to_milli = 1000;
  if (!(seconds > 0) || seconds > most)
    return fail(Errc::Invalid, "request: 'timeout' is {}: expected seconds above 0, at most a day", seconds);
  return std::chrono::ceil<std::chrono::milliseconds>(
      std::chrono::duration<double, std::milli>(seconds * to_milli));
}
uint64_t number_of(Pid pid) {
  return static_cast<uint64_t>(static_cast<int64_t>(pid));
}

std::vector<tenant::ProcessEntry> entries(const Processes& processes) {
  std::vector<tenant::ProcessEntry> list;
  list.reserve(static_cast<size_t>(processes.size()));
  for (const auto& process : processes)
    list.push_back({Pid{process.pid()}, valid_utf8(process.name()), Gva{process.process_block_ptr()}});
  return list;
}

tenant::Value outward_value(Value value) {
  if (auto* number = std::get_if<uint64_t>(&value)) return *number;
  if (auto* text = std::get_if<std::string>(&value)) return std::move(*text);
  if (auto* processes = std::get_if<Processes>(&value)) return entries(*processes);
  return {};
}

}  // namespace

NativeHost::NativeHost(Runtime& runtime, std::string app, std::string metadata)
    : runtime_(runtime), app_(std::move(app)), metadata_(std::move(metadata)) {
  runtime_.on_event([this](const wire::Event& event) { deliver(event); });
  runtime_.on_vmi_again([this] { end_what_was_lost(); });
}

NativeHost::~NativeHost() {
  runtime_.on_event({});
  runtime_.on_vmi_again({});
  runtime_.on_backend_message({});
  for (const uint64_t timer : timers_) runtime_.loop().remove_timer(timer);
}

tenant::Status NativeHost::read(Gva from, std::span<std::byte> out, Pid pid) {
  return outward(runtime_.vmi().read(guest::Gva{from.value}, guest::Pid{static_cast<int32_t>(pid)}, out));
}

tenant::Status NativeHost::read(Gpa from, std::span<std::byte> out) {
  return outward(runtime_.vmi().read(guest::Gpa{from.value}, out));
}

tenant::Status NativeHost::read_many(std::span<tenant::Read> reads) {
  static const protocol::Call& call = *protocol::find_call("read_va");
  wire::VmiMessage request;
  for (const tenant::Read& read : reads) {
    const std::array<NamedArgument, 3> arguments{NamedArgument{"vaddr", read.address.value},
                                                 NamedArgument{"pid", number_of(read.pid)},
                                                 NamedArgument{"count", uint64_t{read.out.size()}}};
    if (auto added = add_call(request, call, arguments, std::nullopt); !added) return outward(added);
  }
  const auto answer = runtime_.vmi().exchange(request, "read_many");
  if (!answer) return outward(answer.error().context("read_many"));
  if (const auto failure = batch_failure(request, *answer)) return outward(failure->context("read_many"));
  if (static_cast<size_t>(answer->read_va_ret_size()) != reads.size())
    return outward(Error(Errc::Invalid, "read_many: an answer of another size"));
  for (int i = 0; i < answer->read_va_ret_size(); ++i) {
    tenant::Read& read = reads[static_cast<size_t>(i)];
    const std::string& bytes = answer->read_va_ret(i).result();
    read.got = std::min(bytes.size(), read.out.size());
    std::memcpy(read.out.data(), bytes.data(), read.got);
  }
  return {};
}

tenant::Result<uint64_t> NativeHost::number(std::string_view name, std::span<const Argument> arguments) {
  auto value = runtime_.vmi().invoke(*protocol::find_call(name), arguments);
  if (!value) return outward(value.error());
  const auto* result = std::get_if<uint64_t>(&*value);
  return result != nullptr ? *result : 0;
}

tenant::Status NativeHost::status(std::string_view name) {
  const auto done = number(name, {});
  return done ? tenant::Status() : tl::unexpected<tenant::Error>(done.error());
}

tenant::Result<std::string> NativeHost::read_text(Gva from, Pid pid) {
  const std::array<Argument, 2> arguments{from.value, number_of(pid)};
  auto value = runtime_.vmi().invoke(*protocol::find_call("read_str_va"), arguments);
  if (!value) return outward(value.error());
  return std::get<std::string>(*std::move(value));
}

tenant::Result<size_t> NativeHost::write(Gva to, std::span<const std::byte> data, Pid pid) {
  const std::array<Argument, 3> arguments{to.value, number_of(pid), as_text(data)};
  return number("write_va", arguments);
}

tenant::Result<size_t> NativeHost::write(Gpa to, std::span<const std::byte> data) {
  const std::array<Argument, 2> arguments{to.value, as_text(data)};
  return number("write_pa", arguments);
}

tenant::Result<Gva> NativeHost::symbol(std::string_view name) {
  const std::array<Argument, 1> arguments{name};
  return number("lookup_symbol", arguments).map([](uint64_t value) { return Gva{value}; });
}

tenant::Result<uint64_t> NativeHost::offset(std::string_view structure, std::string_view member) {
  const std::array<Argument, 2> arguments{structure, member};
  return number("lookup_structure", arguments);
}

tenant::Result<Gpa> NativeHost::translate(Gva address, Pid pid) {
  const std::array<Argument, 2> arguments{address.value, number_of(pid)};
  const auto place = pid == Pid::Kernel ? number("translate_kv2p", std::span(arguments).first(1))
                                        : number("translate_uv2p", arguments);
  return place.map([](uint64_t value) { return Gpa{value}; });
}

tenant::Result<std::vector<tenant::ProcessEntry>> NativeHost::processes() {
  auto list = runtime_.vmi().process_list();
  if (!list) return outward(list.error());
  return entries(*list);
}

tenant::Result<uint64_t> NativeHost::vcpu_register(std::string_view name, uint32_t vcpu) {
  const std::array<Argument, 2> arguments{name, uint64_t{vcpu}};
  return number("get_vcpureg", arguments);
}

tenant::Status NativeHost::pause() {
  return status("pause_vm");
}
tenant::Status NativeHost::resume() {
  return status("resume_vm");
}
tenant::Status NativeHost::events_start() {
  return status("events_start");
}
tenant::Status NativeHost::events_stop() {
  return status("events_stop");
}

tenant::Result<tenant::Value> NativeHost::call(std::string_view name,
                                               std::span<const tenant::Argument> given) {
  const auto call = call_named(name);
  if (!call) return outward(call.error());
  std::vector<Argument> arguments;
  for (const tenant::Argument& argument : given)
    std::visit([&](const auto& value) { arguments.emplace_back(value); }, argument);
  auto value = runtime_.vmi().invoke(**call, arguments);
  if (!value) return outward(value.error());
  return outward_value(*std::move(value));
}

tenant::Result<uint64_t> NativeHost::on_event(const tenant::EventRequest& request,
                                              std::function<void(const tenant::Event&)> callback) {
  using Kind = tenant::EventKind;
  constexpr EnumTable<Kind, uint64_t> types({
      {Kind::Cr3Write, wire::F_REG},
      {Kind::Breakpoint, wire::F_INT},
      {Kind::MemoryAccess, wire::F_EPT},
      {Kind::Syscall, wire::F_SYSCALL},
      {Kind::ProcessCreated, wire::F_PROCESS_CREATED},
      {Kind::ProcessExecuted, wire::F_PROCESS_EXECUTED},
      {Kind::ProcessExited, wire::F_PROCESS_EXITED},
      {Kind::CredentialsChanged, wire::F_CREDENTIALS},
      {Kind::ModuleLoaded, wire::F_MODULE_LOADED},
      {Kind::GuestRequest, wire::F_GUEST_REQUEST},
  });
  if (!types.has(request.kind))
    return tl::unexpected<tenant::Error>(
        tenant::Error{"on_event: no such kind of event", tenant::ErrorCode::Invalid});
  constexpr uint64_t sync = 1, async = 2, cr3 = 1;
  const Argument none = std::monostate();
  const bool place = request.kind == tenant::EventKind::Breakpoint;
  const bool memory = request.kind == tenant::EventKind::MemoryAccess;
  const bool syscall = request.kind == tenant::EventKind::Syscall;
  const auto if_so = [&](bool condition, uint64_t value) { return condition ? Argument(value) : none; };
  // event_type sync_state reg_value bp_addr bp_pid bp_name gva length access uid number returns notices
  // gathers gpa
  const std::vector<Argument> arguments = {
      types[request.kind],
      request.sync ? sync : async,
      if_so(request.kind == tenant::EventKind::Cr3Write, cr3),
      if_so(place, request.address.value),
      number_of(request.pid),
      syscall && !request.syscall.empty() ? Argument(request.syscall) : none,
      if_so(memory && !request.physical, request.address.value),
      if_so(memory, request.length),
      if_so(memory, request.access),
      request.uid ? Argument(uint64_t{*request.uid}) : none,
      none,
      if_so(syscall && request.returns, 1),
      uint64_t{1},
      uint64_t{1},
      request.physical ? Argument(request.physical->value) : none};
  const auto identifier = number("event_register", arguments);
  if (identifier)
    callbacks_[*identifier] =
        std::make_shared<Callbacks>(Callbacks{std::move(callback), request.on_end, runtime_.vmi_losses()});
  return identifier;
}

tenant::Status NativeHost::clear_event(uint64_t identifier) {
  const std::array<Argument, 1> arguments{identifier};
  const auto cleared = number("event_clear", arguments);
  if (!cleared) return tl::unexpected<tenant::Error>(cleared.error());
  callbacks_.erase(identifier);
  return {};
}

void NativeHost::deliver(const wire::Event& event) {
  const auto registered = callbacks_.find(event.identifier());
  if (registered != callbacks_.end()) {
    const std::shared_ptr<const Callbacks> callbacks = registered->second;  // one may clear its own event
    if (event.has_ended()) {
      callbacks_.erase(registered);
      if (callbacks->on_end) callbacks->on_end(event.ended());
      return;
    }
    arguments_.clear();
    callbacks->on_event(outward_event(event, arguments_));
  }
  if (event.guest_paused())
    if (auto resumed = resume(); !resumed) log::warning("{}: {}", app_, resumed.error().message);
}

void NativeHost::end_what_was_lost() {
  std::vector<std::shared_ptr<const Callbacks>> ended;
  for (auto it = callbacks_.begin(); it != callbacks_.end();) {
    const auto each = it++;
    if (each->second->losses == runtime_.vmi_losses()) continue;
    log::info("{}: event {} has ended: {}", app_, each->first, Runtime::kRegisteredBefore);
    ended.push_back(each->second);
    callbacks_.erase(each);
  }
  for (const auto& callbacks : ended)  // which may register events
    if (callbacks->on_end) callbacks->on_end(Runtime::kRegisteredBefore);
}

uint64_t NativeHost::add_timer(double seconds, std::function<void()> callback) {
  return *timers_
              .insert(runtime_.loop().add_timer(std::chrono::duration<double>(seconds), std::move(callback)))
              .first;
}

bool NativeHost::remove_timer(uint64_t timer) {
  timers_.erase(timer);
  return runtime_.loop().remove_timer(timer);
}

void NativeHost::on_backend_message(std::function<void(std::string_view, bool)> callback) {
  on_text_ = std::move(callback);
  listen_to_backend();
}

void NativeHost::on_backend_bytes(std::function<void(std::span<const std::byte>, bool)> callback) {
  on_bytes_ = std::move(callback);
  listen_to_backend();
}

void NativeHost::listen_to_backend() {
  runtime_.on_backend_message([this](Runtime::From from, const Received& message) {
    const bool broadcast = from == Runtime::From::Broadcast;
    if (message.is_bytes && on_bytes_) on_bytes_(as_bytes(message.content), broadcast);
    if (!message.is_bytes && on_text_) on_text_(message.content, broadcast);
  });
}

tenant::Status NativeHost::send(Content content, tenant::Delivery delivery) {
  FacilitiesClient& client = runtime_.facilities();
  return outward(delivery == tenant::Delivery::Durable ? client.notify_durably(std::move(content))
                                                       : client.notify(std::move(content)));
}
tenant::Status NativeHost::notify(std::string_view text, tenant::Delivery delivery) {
  return send({text, false}, delivery);
}
tenant::Status NativeHost::notify(std::span<const std::byte> data, tenant::Delivery delivery) {
  return send({as_text(data), true}, delivery);
}

tenant::Result<std::string> NativeHost::request(std::string_view text, double timeout) {
  const auto limit = time_limit(timeout);
  if (!limit) return outward(limit.error());
  const auto answer = runtime_.facilities().request({text, false}, *limit);
  if (!answer) return outward(answer.error());
  return answer->content;
}
tenant::Result<std::vector<std::byte>> NativeHost::request(std::span<const std::byte> data, double timeout) {
  const auto limit = time_limit(timeout);
  if (!limit) return outward(limit.error());
  const auto answer = runtime_.facilities().request({as_text(data), true}, *limit);
  if (!answer) return outward(answer.error());
  const auto bytes = as_bytes(answer->content);
  return std::vector<std::byte>(bytes.begin(), bytes.end());
}

tenant::Status NativeHost::remove(std::string_view key) {
  return outward(runtime_.facilities().remove(key));
}
tenant::Result<std::vector<std::pair<std::string, uint64_t>>> NativeHost::stored() {
  auto stored = runtime_.facilities().list();
  if (!stored) return outward(stored.error());
  return std::move(stored->sizes);
}
tenant::Status NativeHost::store(std::string_view key, std::string_view text) {
  return outward(runtime_.facilities().set(key, text));
}
tenant::Result<std::string> NativeHost::load(std::string_view key) {
  return outward(runtime_.facilities().get(key));
}

void NativeHost::log(std::string_view text) {
  log::info("{}: {}", app_, printable(text));
}

Status host_native_app(Runtime& runtime, const std::filesystem::path& file, const std::string& app,
                       const std::string& metadata, bool& is_made) {
  FURNACE_TRY(const SharedObject object, SharedObject::open(file));
  FURNACE_TRY(auto* const make,
              object.maker<tenant::App*(tenant::Host&)>("furnace_app", tenant::kAbiVersion));
  NativeHost host(runtime, app, metadata);
  try {
    const std::unique_ptr<tenant::App> instance(make(host));
    is_made = true;
    log::info("{}: {} runs", app, file.string());
    runtime.loop().run();
    instance->shutdown();
  } catch (const std::exception& raised) {  // tenant code may throw what it likes
    return fail(Errc::Failed, "{}: {}", file.string(), raised.what());
  }
  log::info("{}: ended", app);
  return {};
}

}  // namespace furnace::app
