#include "vmi/endpoints.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <thread>

#include "base/file.h"
#include "base/log.h"
#include "base/printable.h"
#include "protocol/framing.h"

namespace furnace::vmi {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMostEndpoints = 256;
constexpr zmtp::Server::Room kForApp{4, 4};
/// Of programs of the host, or of all apps where they are not in partitions.
constexpr zmtp::Server::Room kForAll{1024, 64};

/// The app may be another user's, who could put something else in its socket's place.
void give_socket(const std::string& directory, const struct stat& owner) {
  const Fd socket(
      ::open((directory + "/vmi_rtr").c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));  // NOLINT: variadic
  struct stat status {};
  if (socket.valid() && ::fstat(socket.get(), &status) == 0 && S_ISSOCK(status.st_mode))
    (void)::fchownat(socket.get(), "", owner.st_uid, owner.st_gid, AT_EMPTY_PATH);
}

}  // namespace

std::string Endpoint::refuses(const zmtp::Peer& peer) const {
  if (app.empty()) return {};
  if (peer.identity != protocol::call_identity(app))
    return fmt::format("calls itself '{}'", printable(std::string_view(peer.identity).substr(0, 80)));
  if (peer.user != owner && peer.user != own_user) return fmt::format("belongs to user {}", peer.user);
  return {};
}

Result<Endpoints> Endpoints::bind(zmtp::Server& sockets, const std::string& directory) {
  Endpoints endpoints(sockets, directory);
  // Listening takes the socket's path over from its owner; the lock shows whether there is one.
  // Launchers of apps hold it for a moment to see whether a partition does.
  constexpr int tries = 200;
  constexpr std::chrono::milliseconds between_tries(10);
  auto lock = lock_file(directory + "/vmi_rtr.lock");
  for (int i = 0; i < tries && !lock && lock.error().code() == Errc::Unavailable; ++i) {
    std::this_thread::sleep_for(between_tries);
    lock = lock_file(directory + "/vmi_rtr.lock");
  }
  if (!lock && lock.error().code() == Errc::Unavailable)
    return fail(Errc::Unavailable,
                "{}/vmi_rtr: another VMI partition serves there, or an app with --common-socket is "
                "connected; stop it "
                "or choose another --vmi directory",
                directory);
  if (!lock) return fail(lock.error(), "socket directory");
  endpoints.lock_ = *std::move(lock);
  endpoints.watch_ = Fd(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!endpoints.watch_.valid() || ::inotify_add_watch(endpoints.watch_.get(), directory.c_str(),
                                                       IN_CREATE | IN_MOVED_TO | IN_ONLYDIR) < 0)
    return fail_errno("{}: watch", directory);
  FURNACE_CHECK(endpoints.add({}));
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(directory, ignored))
    if (entry.is_directory(ignored)) endpoints.take(entry.path().filename());
  return endpoints;
}

Status Endpoints::add(const std::string& app) {
  Endpoint made;
  made.app = app;
  made.directory = app.empty() ? directory_ : fmt::format("{}/{}", directory_, app);
  struct stat status {};
  if (::lstat(made.directory.c_str(), &status) != 0) return fail_errno("{}", made.directory);
  if (!S_ISDIR(status.st_mode)) return fail(Errc::Denied, "{}: no directory", made.directory);
  made.owner = status.st_uid;
  made.own_user = user_;
  FURNACE_TRY(
      [[maybe_unused]] const size_t place,
      sockets_->listen(made.directory + "/vmi_rtr", zmtp::Kind::Router, app.empty() ? kForAll : kForApp));
  if (!app.empty() && user_ == 0) give_socket(made.directory, status);
  all_.push_back(std::move(made));
  return {};
}

/// A name with a dot in front: its directory is being made.
bool Endpoints::is_new(const std::string& name) const {
  return !name.starts_with('.') && protocol::check_app_id(name) &&
         std::none_of(all_.begin(), all_.end(), [&](const auto& each) { return each.app == name; });
}

void Endpoints::take(const std::string& app) {
  if (!is_new(app)) return;
  if (all_.size() >= kMostEndpoints)
    return log::warning("app {} gets no socket: {} apps have one", app, all_.size());
  if (const auto added = add(app); !added)
    log::warning("app {} gets no socket: {}", app, added.error().message());
}

void Endpoints::take_new() {
  // What the kernel reports is enough: a partition that serves lists no directories any more.
  alignas(inotify_event) std::array<char, 4096> told;  // NOLINT: is filled
  for (ssize_t size = 0; (size = ::read(watch_.get(), told.data(), told.size())) > 0;)
    for (size_t at = 0; at < static_cast<size_t>(size);) {
      const auto& event = *reinterpret_cast<const inotify_event*>(told.data() + at);  // NOLINT: the kernel's
      if ((event.mask & IN_ISDIR) != 0 && event.len > 0) take(event.name);
      at += sizeof event + event.len;
    }
}

}  // namespace furnace::vmi
