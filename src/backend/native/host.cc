#include "backend/native/host.h"

#include <set>

#include "base/bytes.h"
#include "base/log.h"
#include "base/shared_object.h"
#include "furnace/backend.h"

namespace furnace::backend {
namespace {

tenant::Status outward(const Status& status) {
  return status ? tenant::Status() : tl::unexpected<tenant::Error>(tenant::Error{status.error().message()});
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
    backend_.on_message([callback = std::move(callback)](const Message& message) -> Result<std::string> {
      try {
        auto answer = callback({message.app, message.wants_answer, message.text});
        if (!answer) return fail(Errc::Failed, "{}", answer.error().message);
        return *std::move(answer);
      } catch (const std::exception& raised) {  // ends this message, not the backend
        log::error("message callback: {}", raised.what());
        return fail(Errc::Failed, "the backend's callback raised");
      }
    });
  }
  tenant::Status notify(std::string_view app, std::string_view text) override {
    return outward(backend_.notify(app, text));
  }
  tenant::Status broadcast(std::string_view text) override { return outward(backend_.broadcast(text)); }
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
  Backend& backend_;
  std::set<uint64_t> timers_;
};

}  // namespace

Status host_native_backend(Backend& backend, const std::filesystem::path& file) {
  FURNACE_TRY(const SharedObject object, SharedObject::open(file));
  FURNACE_TRY(auto* const make,
              object.maker<tenant::Backend*(tenant::BackendHost&)>("furnace_backend", tenant::kAbiVersion));
  NativeBackendHost host(backend);
  try {
    const std::unique_ptr<tenant::Backend> instance(make(host));
    if (!backend.has_callback() && !backend.loop().stopped())
      return fail(Errc::Invalid, "{}: registers no callback for messages (on_message)", file.string());
    backend.loop().run();
    instance->shutdown();
  } catch (const std::exception& raised) {
    return fail(Errc::Failed, "{}: {}", file.string(), raised.what());
  }
  return {};
}

}  // namespace furnace::backend
