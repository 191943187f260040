#include "command_line/program.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstdlib>
#include <cstring>
#include <string_view>

#include "base/fd.h"
#include "base/log.h"
#include "base/signals.h"

namespace furnace {

Program::Program(const std::string& name, const std::string& description)
    : name_(name), app_(description, name) {
  app_.add_flag("-d,--debug", debug_, "Log in detail");
  app_.add_option("--log-format", log_format_, "text, or json (one object per line)")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  app_.get_formatter()->column_width(34);
}

int Program::first_command(int argc, char** argv) {
  int at = 1;
  while (at < argc) {
    const std::string_view argument = argv[at];
    if (argument == "-d" || argument == "--debug" || argument.starts_with("--log-format=")) {
      at += 1;
    } else if (argument == "--log-format" && at + 1 < argc) {
      at += 2;
    } else {
      break;
    }
  }
  return at;
}

int Program::run(int argc, char** argv, const std::function<Status()>& body) {
  try {
    app_.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app_.exit(error);
    return code == 0 ? 0 : 2;
  }
  log::start({.program = name_,
              .level = debug_   ? log::Level::Debug
                       : quiet_ ? log::Level::Warning
                                : log::Level::Info,
              .format = log_format_ == "json" ? log::Format::Json : log::Format::Text});
  const Status done = body();
  if (done) return 0;
  const bool interrupted = done.error().code() == Errc::Interrupted;
  log::write(interrupted ? log::Level::Info : log::Level::Error, done.error().message());
  constexpr int by_signal = 128;
  if (done.error().code() == Errc::Gone) return kEndedForGone;
  return interrupted ? by_signal + stop_signal() : 1;
}

void establish() {
  (void)::open("ESTABLISHED", O_RDONLY | O_CLOEXEC);  // NOLINT: variadic
}

void report_ready() {
  const char* const path =
      std::getenv("NOTIFY_SOCKET");  // NOLINT(concurrency-mt-unsafe): no other thread changes it
  if (path == nullptr) return;
  sockaddr_un address{AF_UNIX, {}};
  std::strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  const size_t length = offsetof(sockaddr_un, sun_path) + std::strlen(address.sun_path);
  if (address.sun_path[0] == '@') address.sun_path[0] = '\0';
  const Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  constexpr std::string_view ready = "READY=1";
  ::sendto(socket.get(), ready.data(), ready.size(), MSG_NOSIGNAL,
           reinterpret_cast<const sockaddr*>(&address), static_cast<socklen_t>(length));  // NOLINT: sockets
}

}  // namespace furnace
