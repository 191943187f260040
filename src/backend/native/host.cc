#include "backend/native/host.h"

#include <set>

#include "base/bytes.h"
#include "base/log.h"
#include "base/printable.h"
#include "base/shared_object.h"
#include "furnace/backend.h"
#include "protocol/error_code.h"

namespace furnace::backend {
namespace {

tenant::Status outward(const Status& status) {
  return status ? tenant::Status()
                : tl::unexpected<tenant::Error>(tenant::Error{
                      status.error().message(),
                      static_cast<tenant::ErrorCode>(protocol::code_of(status.error().code()))});
}

class NativeBackendHost : public tenant::BackendHost {
 public:
  explicit NativeBackendHost(Backend& backend) : backend_(backend) {}
  /// Takes all callbacks back: their code goes with the shared object.
  ~NativeBackendHost() override {
    backend_.on_message({});
    for (const uint64_t timer : timers_) backend_.loop().remove_timer(timer);
  }
  NativeBackendHost(const NativeBackendHost&) = delete;
  NativeBackendHost& operator=(const NativeBackendHost&) = delete;

  void on_message(std::function<tenant::Result<std::string>(const tenant::Message&)> callback) override {
    on_text_ = std::move(callback);
    listen();
  }
  void on_bytes(
      std::function<tenant::Result<std::vector<std::byte>>(const tenant::BytesMessage&)> callback) override {
    on_bytes_ = std::move(callback);
    listen();
  }
  tenant::Status notify(std::string_view app, std::string_view text) override {
    return outward(backend_.notify(app, {std::string(text), false}));
  }
  tenant::Status notify(std::string_view app, std::span<const std::byte> data) override {
    return outward(backend_.notify(app, {std::string(as_text(data)), true}));
  }
  tenant::Status broadcast(std::string_view text) override {
    return outward(backend_.broadcast({std::string(text), false}));
  }
  tenant::Status broadcast(std::span<const std::byte> data) override {
    return outward(backend_.broadcast({std::string(as_text(data)), true}));
  }
  uint64_t add_timer(double seconds, std::function<void()> callback) override {
    return *timers_
                .insert(
                    backend_.loop().add_timer(std::chrono::duration<double>(seconds), std::move(callback)))
                .first;
  }
  bool remove_timer(uint64_t timer) override {
    timers_.erase(timer);
    return backend_.loop().remove_timer(timer);
  }
  void log(std::string_view text) override { log::info("{}", printable(text)); }
  void exit() override { backend_.loop().stop(); }

 private:
  void listen() {
    backend_.on_message([this](const Message& message) -> Result<Content> {
      try {
        return message.is_bytes ? call_with_bytes(message) : call_with_text(message);
      } catch (const std::exception& raised) {  // ends this message, not the backend
        log::error("message callback: {}", raised.what());
        return fail(Errc::Failed, "the backend's callback raised");
      }
    });
  }

  Result<Content> call_with_text(const Message& message) {
    if (!on_text_) return fail(Errc::Failed, "the backend takes no texts");
    auto answer =
        on_text_({message.app, message.wants_answer, message.content, message.id, message.traceparent});
    if (!answer) return fail(Errc::Failed, "{}", answer.error().message);
    return Content(*std::move(answer), false);
  }

  Result<Content> call_with_bytes(const Message& message) {
    if (!on_bytes_) return fail(Errc::Failed, "the backend takes no bytes");
    const auto answer = on_bytes_(
        {message.app, message.wants_answer, as_bytes(message.content), message.id, message.traceparent});
    if (!answer) return fail(Errc::Failed, "{}", answer.error().message);
    return Content(std::string(as_text(*answer)), true);
  }

  std::function<tenant::Result<std::string>(const tenant::Message&)> on_text_;
  std::function<tenant::Result<std::vector<std::byte>>(const tenant::BytesMessage&)> on_bytes_;
  Backend& backend_;
  std::set<uint64_t> timers_;
};

}  // namespace

Status host_native_backend(Backend& backend, const std::filesystem::path& file, int stop) {
  FURNACE_TRY(const SharedObject object, SharedObject::open(file));
  FURNACE_TRY(auto* const make,
              object.maker<tenant::Backend*(tenant::BackendHost&)>("furnace_backend", tenant::kAbiVersion));
  NativeBackendHost host(backend);
  try {
    const std::unique_ptr<tenant::Backend> instance(make(host));
    if (!backend.has_callback() && !backend.loop().stopped())
      return fail(Errc::Invalid, "{}: registers no callback for messages (on_message)", file.string());
    backend.run(stop);
    backend.join_workers();
    instance->shutdown();
  } catch (const std::exception& raised) {
    return fail(Errc::Failed, "{}: {}", file.string(), raised.what());
  }
  return {};
}

}  // namespace furnace::backend
