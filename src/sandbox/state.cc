#include "sandbox/state.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/directories.h"
#include "base/json_text.h"

namespace furnace::sandbox {
namespace {

using nlohmann::json;

constexpr const char* kSockets = "partitions";  // in the run directory

/// Fields in both directions.
template <typename Json, typename State, typename Each>
void for_each_field(Json& document, State& state, const Each& each) {
  each(document["name"], state.name);
  each(document["launcher"], state.launcher);
  each(document["program"], state.program);
  each(document["established"], state.established);
  each(document["seconds"], state.seconds);
  each(document["messages"], state.messages);
  each(document["denied"], state.denied);
  each(document["left_out"], state.left_out);
  each(document["cpu_us"], state.usage.cpu_us);
  each(document["memory"], state.usage.memory);
  each(document["memory_most"], state.usage.memory_most);
  each(document["memory_limit"], state.usage.memory_limit);
  each(document["processes"], state.usage.processes);
  each(document["process_limit"], state.usage.process_limit);
  each(document["oom_kills"], state.usage.oom_kills);
  each(document["fork_failures"], state.usage.fork_failures);
}

Result<PartitionState> ask(const std::filesystem::path& path) {
  FURNACE_TRY(const Fd socket, connect_unix(path));
  constexpr timeval patience{1, 0};  // a launcher answers at once, unless it was stopped
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  constexpr size_t enough = 4096;
  std::string text;
  std::array<char, enough> piece{};
  for (ssize_t got = 0; text.size() < enough && (got = ::read(socket.get(), piece.data(), piece.size())) > 0;)
    text.append(piece.data(), static_cast<size_t>(got));
  return parse_state(text);
}

}  // namespace

std::string to_json(const PartitionState& state) {
  json document;
  for_each_field(document, state, [](json& field, const auto& value) { field = value; });
  return json_text(document);
}

Result<PartitionState> parse_state(std::string_view text) {
  json document = json::parse(text, nullptr, false);
  if (!document.is_object()) return fail(Errc::Invalid, "state of a partition: not JSON");
  PartitionState state;
  bool whole = true;
  for_each_field(document, state, [&whole]<typename Value>(const json& field, Value& value) {
    const bool fits = std::is_same_v<Value, std::string> ? field.is_string()
                      : std::is_same_v<Value, bool>      ? field.is_boolean()
                                                         : field.is_number();
    if (fits) {
      value = field.get<Value>();
    } else {
      whole = false;
    }
  });
  if (!whole) return fail(Errc::Invalid, "state of a partition: not of this version");
  return state;
}

Result<StateSocket> StateSocket::bind(std::string_view name) {
  FURNACE_TRY(const Directory made, make_run_directory(kSockets));
  const auto& directory = made.path();
  sockaddr_un address{AF_UNIX, {}};
  const std::string own = fmt::format(".{}", ::getpid());
  const std::string place = directory.string() + '/';
  const size_t room = sizeof address.sun_path - 1;
  if (place.size() + own.size() >= room)
    return fail(Errc::Invalid, "{}: too long for a socket; set FURNACE_RUN", directory.string());
  std::string file(name.substr(0, room - place.size() - own.size()));
  for (char& c : file)
    if (c == '/' || c == ' ') c = c == '/' ? '_' : '.';
  const std::string path = place + file + own;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  ::unlink(path.c_str());  // of another process that had our number
  const mode_t before = ::umask(S_IRWXG | S_IRWXO);
  constexpr int waiting = 16;
  const bool bound = ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address),  // NOLINT: sockets
                            sizeof address) == 0 &&
                     ::listen(socket.get(), waiting) == 0;
  ::umask(before);
  if (!bound) return fail_errno("{}", path);
  return StateSocket(std::move(socket), path);
}

void StateSocket::answer(const PartitionState& state) const {
  const std::string text = to_json(state);
  constexpr int at_once = 16;
  for (int i = 0; i < at_once; ++i) {
    const Fd connection(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!connection.valid()) return;
    (void)::send(connection.get(), text.data(), text.size(), MSG_NOSIGNAL);
  }
}

std::vector<PartitionState> running_partitions() {
  std::vector<PartitionState> states;
  std::error_code ignored;
  const auto directory = Directory::open(run_directory() / kSockets, Care::Content);
  if (!directory) return states;  // there is none
  for (const auto& entry : std::filesystem::directory_iterator(directory->path(), ignored))
    if (auto state = ask(entry.path())) states.push_back(*std::move(state));
  std::sort(states.begin(), states.end(), [](const auto& a, const auto& b) {
    return std::tie(a.name, a.launcher) < std::tie(b.name, b.launcher);
  });
  return states;
}

}  // namespace furnace::sandbox
