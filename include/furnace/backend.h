// The C++ API of a tenant's backend. A backend is a class in a shared object. `furnace backend -c FILE` loads
// FILE.so and creates one object of the class.
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

/// A text message of an app. The views are valid until the callback returns.
struct Message {
  std::string_view app;       ///< the id of the app that sent it
  bool wants_answer = false;  ///< true: a request, and the app waits for what the callback returns
  std::string_view text;      ///< UTF-8
  /// The id of a durable message. It is the same if the message is delivered again. Otherwise empty.
  std::string_view id = {};
  std::string_view traceparent = {};  ///< the W3C Trace Context, or empty
};

/// A binary message of an app. The members are those of Message, with `data` in place of `text`.
struct BytesMessage {
  std::string_view app;
  bool wants_answer = false;
  std::span<const std::byte> data;
  std::string_view id = {};
  std::string_view traceparent = {};
};

/// What a backend can do. It exists as long as the backend. Any thread that runs a callback may call notify,
/// broadcast and log; call the other functions only from the thread that made the backend.
class BackendHost {
 public:
  virtual ~BackendHost() = default;

  /// Sets the callback for text messages. A backend must set one in its constructor. If the callback returns
  /// an error, the app's request fails with its text. With --workers other threads call it: for one app one
  /// call at a time, for different apps at the same time.
  virtual void on_message(std::function<Result<std::string>(const Message&)> callback) = 0;
  /// Sets the callback for binary messages. Without one, binary messages are rejected.
  virtual void on_bytes(std::function<Result<std::vector<std::byte>>(const BytesMessage&)> callback) = 0;
  /// Sends a message to one app. Fails if no FAC partition is connected that would pass it on to the app, or
  /// if too many messages wait already.
  [[nodiscard]] virtual Status notify(std::string_view app, std::string_view text) = 0;
  [[nodiscard]] virtual Status notify(std::string_view app, std::span<const std::byte> data) = 0;
  /// Sends a message to all apps that are connected.
  [[nodiscard]] virtual Status broadcast(std::string_view text) = 0;
  [[nodiscard]] virtual Status broadcast(std::span<const std::byte> data) = 0;
  /// Calls `callback` every `seconds` seconds; 0: at every turn of the main loop. Returns the timer's id.
  virtual uint64_t add_timer(double seconds, std::function<void()> callback) = 0;
  /// Removes a timer. Returns false if there is none with this id.
  virtual bool remove_timer(uint64_t timer) = 0;
  /// Writes a line to the backend's log.
  virtual void log(std::string_view text) = 0;
  /// Stops the backend after the running callback has returned.
  virtual void exit() = 0;
};

/// The base class of a backend. The derived class needs a constructor that takes a BackendHost&.
class Backend {
 public:
  virtual ~Backend() = default;
  /// Called when the backend stops, before the destructor.
  virtual void shutdown() {}
};

}  // namespace furnace::tenant

/// Makes a class the backend of this shared object. Use it once.
#define FURNACE_BACKEND(Class)                                                                      \
  extern "C" __attribute__((visibility("default"))) const uint32_t furnace_backend_abi =            \
      furnace::tenant::kAbiVersion;                                                                 \
  extern "C" __attribute__((visibility("default"))) furnace::tenant::Backend* furnace_backend_make( \
      furnace::tenant::BackendHost& host) {                                                         \
    return new Class(host);                                                                         \
  }
