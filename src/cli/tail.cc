#include "cli/tail.h"

#include <filesystem>
#include <zmq.hpp>

#include "base/directories.h"
#include "base/json_text.h"
#include "base/printable.h"
#include "base/signals.h"
#include "command_line/bounded_option.h"
#include "launch/manifest.h"
#include "protocol/framing.h"

namespace furnace::cli {
namespace {

struct TailOptions {
  std::string app;        ///< its id; its sockets are looked for in FURNACE_DIR
  std::string directory;  ///< of its sockets, instead
  bool json = false;
  uint64_t count = 0;  ///< messages after which to end; 0: at a signal
};

/// "12:00:01.250 app > backend  notify       21  text": no wider than what it holds.
std::string line_of(const nlohmann::json& message) {
  const double time = message.value("time", 0.0);
  const auto seconds = static_cast<std::time_t>(time);
  std::tm parts{};
  ::localtime_r(&seconds, &parts);
  std::array<char, 16> clock{};
  const size_t length = std::strftime(clock.data(), clock.size(), "%H:%M:%S", &parts);
  const bool out = message.value("way", "") == "app>backend";
  std::string text = message.contains("data") ? "(bytes) " + printable(message.value("data", ""))
                                              : printable(message.value("text", ""));
  if (const uint32_t status = message.value("status", 0U); status != 0) text = "(failed) " + text;
  if (message.contains("traceparent")) text += "  trace " + printable(message.value("traceparent", ""));
  return fmt::format("{}.{:03} {} {} {:>8}  {}", std::string_view(clock.data(), length),
                     static_cast<int>((time - static_cast<double>(seconds)) * 1000),
                     out ? "app -> backend" : "app <- backend", padded(message.value("kind", ""), 9),
                     message.value("bytes", uint64_t{0}), text);
}

Status tail(const TailOptions& options) {
  namespace fs = std::filesystem;
  const std::string directory =
      !options.directory.empty() ? options.directory
                                 : (launch::manifest_of(options.app).parent_path() / "fac_socket").string();
  std::error_code error;
  if (!fs::exists(directory + "/fac_tap", error))
    return fail(Errc::NotFound, "{}: no FAC partition serves there (--fac names another directory)",
                directory);
  FURNACE_TRY(const Fd stop, stop_signals());
  FURNACE_TRY(const std::string address, protocol::ipc_address(directory, "fac_tap"));
  zmq::context_t context(1);
  zmq::socket_t socket(context, zmq::socket_type::sub);
  protocol::set_common_options(socket);
  socket.set(zmq::sockopt::subscribe, "");
  FURNACE_CHECK(protocol::connect(socket, address));
  for (uint64_t shown = 0; options.count == 0 || shown < options.count;) {
    std::array<zmq_pollitem_t, 2> items{
        {{nullptr, stop.get(), ZMQ_POLLIN, 0}, {socket.handle(), 0, ZMQ_POLLIN, 0}}};
    if (::zmq_poll(items.data(), items.size(), -1) < 0 && ::zmq_errno() != EINTR)
      return fail(Errc::Failed, "{}: {}", address, ::zmq_strerror(::zmq_errno()));
    FURNACE_CHECK(check_interrupted());
    while (const auto frames = protocol::receive(socket)) {
      const auto message =
          nlohmann::json::parse(protocol::text(frames->front()), nullptr, /*allow_exceptions=*/false);
      if (!message.is_object()) continue;
      fmt::print("{}\n", options.json ? json_text(message) : line_of(message));
      std::fflush(stdout);
      if (++shown == options.count) return {};
    }
  }
  return {};
}

}  // namespace

void add_tail(Commands& commands) {
  auto* command = commands.add("tail", "Show the messages of an app as they pass");
  const auto options = std::make_shared<TailOptions>();
  command->add_option("APP", options->app, "The app's id");
  command->add_option("--fac", options->directory,
                      "Directory of the sockets of its FAC partition, instead of the id");
  command->add_flag("--json", options->json, "Print one JSON object per message");
  command->add_option("-n,--count", options->count, "Exit after N messages")->check(within({1, INT64_MAX}));
  commands.on(command, [options] {
    if (options->app.empty() == options->directory.empty())
      return Status(fail(Errc::Invalid, "give the app's id, or --fac DIR"));
    return tail(*options);
  });
}

}  // namespace furnace::cli
