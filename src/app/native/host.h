// Hosts a C++ app: the API of include/furnace/app.h over the runtime.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "app/runtime.h"
#include "furnace/app.h"

namespace furnace::app {

/// The Host that a compiled app gets.
class NativeHost : public tenant::Host {
 public:
  NativeHost(Runtime& runtime, std::string app, std::string metadata);
  /// Takes all callbacks back: their code goes with the shared object.
  ~NativeHost() override;
  NativeHost(const NativeHost&) = delete;
  NativeHost& operator=(const NativeHost&) = delete;

  using tenant::Host::read;
  [[nodiscard]] tenant::Status read(tenant::Gva from, std::span<std::byte> out, tenant::Pid pid) override;
  [[nodiscard]] tenant::Status read(tenant::Gpa from, std::span<std::byte> out) override;
  [[nodiscard]] tenant::Status read_many(std::span<tenant::Read> reads) override;
  [[nodiscard]] tenant::Result<std::string> read_text(tenant::Gva from, tenant::Pid pid) override;
  [[nodiscard]] tenant::Result<size_t> write(tenant::Gva to, std::span<const std::byte> data,
                                             tenant::Pid pid) override;
  [[nodiscard]] tenant::Result<size_t> write(tenant::Gpa to, std::span<const std::byte> data) override;
  [[nodiscard]] tenant::Result<tenant::Gva> symbol(std::string_view name) override;
  [[nodiscard]] tenant::Result<uint64_t> offset(std::string_view structure, std::string_view member) override;
  [[nodiscard]] tenant::Result<tenant::Gpa> translate(tenant::Gva address, tenant::Pid pid) override;
  [[nodiscard]] tenant::Result<std::vector<tenant::ProcessEntry>> processes() override;
  [[nodiscard]] tenant::Result<uint64_t> vcpu_register(std::string_view name, uint32_t vcpu) override;
  [[nodiscard]] tenant::Status pause() override;
  [[nodiscard]] tenant::Status resume() override;
  [[nodiscard]] tenant::Result<tenant::Value> call(std::string_view name,
                                                   std::span<const tenant::Argument> arguments) override;
  [[nodiscard]] tenant::Result<uint64_t> on_event(
      const tenant::EventRequest& request, std::function<void(const tenant::Event&)> callback) override;
  [[nodiscard]] tenant::Status clear_event(uint64_t identifier) override;
  [[nodiscard]] tenant::Status events_start() override;
  [[nodiscard]] tenant::Status events_stop() override;
  uint64_t add_timer(double seconds, std::function<void()> callback) override;
  bool remove_timer(uint64_t timer) override;
  void on_backend_message(std::function<void(std::string_view, bool)> callback) override;
  void on_backend_bytes(std::function<void(std::span<const std::byte>, bool)> callback) override;
  [[nodiscard]] tenant::Status notify(std::string_view text, tenant::Delivery delivery) override;
  [[nodiscard]] tenant::Status notify(std::span<const std::byte> data, tenant::Delivery delivery) override;
  [[nodiscard]] tenant::Result<std::string> request(std::string_view text, double timeout) override;
  [[nodiscard]] tenant::Result<std::vector<std::byte>> request(std::span<const std::byte> data,
                                                               double timeout) override;
  [[nodiscard]] tenant::Status store(std::string_view key, std::string_view text) override;
  [[nodiscard]] tenant::Result<std::string> load(std::string_view key) override;
  [[nodiscard]] tenant::Status remove(std::string_view key) override;
  [[nodiscard]] tenant::Result<std::vector<std::pair<std::string, uint64_t>>> stored() override;
  [[nodiscard]] std::string_view app_id() const override { return app_; }
  [[nodiscard]] std::string_view metadata() const override { return metadata_; }
  void log(std::string_view text) override;
  void exit() override { runtime_.loop().stop(); }

 private:
  void deliver(const wire::Event& event);
  void end_what_was_lost();
  void listen_to_backend();
  [[nodiscard]] tenant::Status send(Content content, tenant::Delivery delivery);
  /// Runs a call whose result is a number.
  [[nodiscard]] tenant::Result<uint64_t> number(std::string_view call, std::span<const Argument> arguments);
  [[nodiscard]] tenant::Status status(std::string_view call);

  Runtime& runtime_;
  std::string app_, metadata_;
  struct Callbacks {
    std::function<void(const tenant::Event&)> on_event;
    std::function<void(std::string_view)> on_end;
    uint64_t losses = 0;  ///< of the connection, before it was registered
  };
  std::map<uint64_t, std::shared_ptr<const Callbacks>> callbacks_;
  std::vector<tenant::SyscallArgument> arguments_;  // of the event that is delivered
  std::set<uint64_t> timers_;
  std::function<void(std::string_view, bool)> on_text_;
  std::function<void(std::span<const std::byte>, bool)> on_bytes_;
};

/// Loads the app in FILE, runs it until it ends, and unloads it. `is_made` becomes true when its object is
/// made.
[[nodiscard]] Status host_native_app(Runtime& runtime, const std::filesystem::path& file,
                                     const std::string& app, const std::string& metadata, bool& is_made);

}  // namespace furnace::app
