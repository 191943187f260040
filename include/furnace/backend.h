// The C++ API of a tenant's backend: a class in a shared object that furnace-backend hosts as it hosts a
// Python file.
//
//     class Echo : public furnace::tenant::Backend {
//      public:
//       explicit Echo(furnace::tenant::BackendHost& host) {
//         host.on_message([](const furnace::tenant::Message& message) { return std::string(message.text); });
//       }
//     };
//     FURNACE_BACKEND(Echo)
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "furnace/types.h"

namespace furnace::tenant {

/// A message of an app. `wants_answer`: it waits for what the callback returns.
struct Message {
  std::string_view app;
  bool wants_answer = false;
  std::string_view text;
  std::string_view id = {};           ///< of a durable message: the same if it comes again; else empty
  std::string_view traceparent = {};  ///< W3C Trace Context, if the message has one
};

/// The same with bytes.
struct BytesMessage {
  std::string_view app;
  bool wants_answer = false;
  std::span<const std::byte> data;
  std::string_view id = {};
  std::string_view traceparent = {};
};

class BackendHost {
 public:
  virtual ~BackendHost() = default;

  /// Who gets the apps' messages; a backend needs one. An error becomes a failed request at the app. With
  /// --workers it is called in other threads: for one app one call at a time, for different apps side by
  /// side.
  virtual void on_message(std::function<Result<std::string>(const Message&)> callback) = 0;
  /// Who gets messages of bytes; they fail without it.
  virtual void on_bytes(std::function<Result<std::vector<std::byte>>(const BytesMessage&)> callback) = 0;
  /// To one app. An error: nobody is connected that would take it there, or too much waits already.
  [[nodiscard]] virtual Status notify(std::string_view app, std::string_view text) = 0;
  [[nodiscard]] virtual Status notify(std::string_view app, std::span<const std::byte> data) = 0;
  /// To all apps that listen.
  [[nodiscard]] virtual Status broadcast(std::string_view text) = 0;
  [[nodiscard]] virtual Status broadcast(std::span<const std::byte> data) = 0;
  /// Calls back every so many seconds; 0: at every turn of the loop. Returns the timer's id.
  virtual uint64_t add_timer(double seconds, std::function<void()> callback) = 0;
  virtual bool remove_timer(uint64_t timer) = 0;
  virtual void log(std::string_view text) = 0;
  /// Ends the backend when the callback that is running returns.
  virtual void exit() = 0;
};

/// A tenant's backend: its constructor takes a BackendHost&.
class Backend {
 public:
  virtual ~Backend() = default;
  virtual void shutdown() {}
};

}  // namespace furnace::tenant

/// Makes a class the backend of a shared object.
#define FURNACE_BACKEND(Class)                                                                      \
  extern "C" __attribute__((visibility("default"))) const uint32_t furnace_backend_abi =            \
      furnace::tenant::kAbiVersion;                                                                 \
  extern "C" __attribute__((visibility("default"))) furnace::tenant::Backend* furnace_backend_make( \
      furnace::tenant::BackendHost& host) {                                                         \
    return new Class(host);                                                                         \
  }
