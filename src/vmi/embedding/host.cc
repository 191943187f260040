// furnace/vmi_host.h over the VMI partition's server.
#include <furnace/vmi_host.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>

#include <filesystem>
#include <set>

#include "base/directory.h"
#include "base/limited_log.h"
#include "base/log.h"
#include "guest/profile/profile_file.h"
#include "vmi/embedding/lent_guest.h"
#include "vmi/embedding/sized.h"
#include "vmi/server.h"

using furnace::vmi::LentGuest;

/// The server, with one descriptor for all that it waits for.
struct furnace_vmi_host {
  [[nodiscard]] static furnace::Result<std::unique_ptr<furnace_vmi_host>> open(
      const furnace_guest& guest, const furnace_vmi_options& options);

  void handle();
  void note(const furnace_event& event);
  [[nodiscard]] int descriptor() const { return epoll_.get(); }

 private:
  furnace_vmi_host(std::unique_ptr<LentGuest> guest, std::shared_ptr<const furnace::guest::Profile> profile)
      : guest_(*guest), machine_(std::move(guest), nullptr, std::move(profile)) {}
  void wait_in_descriptor(bool busy);

  LentGuest& guest_;  // the machine's
  furnace::vmi::Machine machine_;
  std::unique_ptr<furnace::vmi::Server> server_;
  furnace::Fd epoll_, timer_;
  std::set<int> watched_;
  furnace::log::Limited too_small_{"events that are too small"};
};

namespace {

using namespace furnace;

// Of the first release that has sizes.
constexpr size_t kGuestSize = offsetof(furnace_guest, unwatch) + sizeof furnace_guest::unwatch;
constexpr size_t kOptionsSize =
    offsetof(furnace_vmi_options, profile_name) + sizeof furnace_vmi_options::profile_name;
constexpr size_t kEventSize = offsetof(furnace_event, count) + sizeof furnace_event::count;

Result<std::shared_ptr<const guest::Profile>> profile_of(const furnace_vmi_options& options) {
  if (options.profile_text != nullptr)
    return guest::parse_profile(options.profile_text,
                                options.profile_name != nullptr ? options.profile_name : "profile");
  if (options.profile_file == nullptr || *options.profile_file == '\0') return nullptr;
  return guest::load_profile(options.profile_file, {});
}

}  // namespace

Result<std::unique_ptr<furnace_vmi_host>> furnace_vmi_host::open(const furnace_guest& given_guest,
                                                                 const furnace_vmi_options& given_options) {
  const auto guest_known = vmi::known_part(given_guest, kGuestSize);
  const auto options_known = vmi::known_part(given_options, kOptionsSize);
  if (!guest_known || !options_known)
    return fail(Errc::Invalid, "the `size` of furnace_{} is too small",
                guest_known ? "vmi_options" : "guest");
  const furnace_guest& guest = *guest_known;
  const furnace_vmi_options& options = *options_known;
  if (options.directory == nullptr) return fail(Errc::Invalid, "no directory for the socket is named");
  FURNACE_TRY(auto lent, LentGuest::make(guest));
  FURNACE_TRY(auto profile, profile_of(options));
  std::unique_ptr<furnace_vmi_host> host(new furnace_vmi_host(std::move(lent), std::move(profile)));
  FURNACE_CHECK(Directory::make(options.directory, Care::Content));
  FURNACE_TRY(host->server_, vmi::Server::bind(options.directory, host->machine_));
  host->epoll_ = Fd(::epoll_create1(EPOLL_CLOEXEC));
  host->timer_ = Fd(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!host->epoll_.valid() || !host->timer_.valid()) return fail_errno("descriptors to wait with");
  if (auto kernel = host->machine_.linux_guest(); !kernel)
    log::warning("no kernel yet, calls that need one fail until there is: {}", kernel.error().message());
  log::info("serving VM '{}' at {}/vmi_rtr", guest.name, options.directory);
  host->wait_in_descriptor(true);
  return host;
}

void furnace_vmi_host::handle() {
  constexpr int most_turns = 16;  // the program has other things to do
  uint64_t expirations = 0;
  (void)!::read(timer_.get(), &expirations, sizeof expirations);
  auto turn = vmi::Server::Turn::Busy;
  for (int i = 0; i < most_turns && turn == vmi::Server::Turn::Busy; ++i) turn = server_->turn();
  wait_in_descriptor(turn == vmi::Server::Turn::Busy);
}

void furnace_vmi_host::note(const furnace_event& event) {
  if (const auto known = furnace::vmi::known_part(event, kEventSize))
    guest_.note(*known);
  else
    too_small_.warning("an event whose `size` is {}, less than {}", event.size, kEventSize);
  server_->deliver_events();
  wait_in_descriptor(false);  // what is watched now, or is due, may be another
}

/// What the server waits for makes our descriptor ready; its next deadline does, and `busy` at once.
void furnace_vmi_host::wait_in_descriptor(bool busy) {
  std::set<int> wanted{timer_.get()};
  for (const int each : server_->descriptors()) wanted.insert(each);
  for (const int each : watched_)
    if (!wanted.contains(each)) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, each, nullptr);
  for (const int each : wanted) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = each;
    // A number that is known may be another descriptor's by now; that one is not there yet then.
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, each, &event);
  }
  watched_ = std::move(wanted);

  constexpr long per_millisecond = 1'000'000;
  constexpr long per_second = 1000;
  itimerspec at{};
  const auto wait = server_->time_to_wait();
  if (busy || wait.count() == 0) {
    at.it_value.tv_nsec = 1;
  } else if (wait.count() > 0) {
    at.it_value = {wait.count() / per_second, wait.count() % per_second * per_millisecond};
  }
  ::timerfd_settime(timer_.get(), 0, &at, nullptr);
}

extern "C" {

#define FURNACE_EXPORT __attribute__((visibility("default")))

FURNACE_EXPORT furnace_vmi_host* furnace_vmi_host_open(const furnace_guest* guest,
                                                       const furnace_vmi_options* options, char* error,
                                                       size_t size) {
  std::string why;
  try {
    auto host = furnace_vmi_host::open(*guest, *options);
    if (host) return host->release();
    why = host.error().message();
  } catch (const std::exception& thrown) {  // memory is short; callers may be C
    why = thrown.what();
  }
  if (size != 0) error[why.copy(error, size - 1)] = '\0';
  return nullptr;
}

FURNACE_EXPORT int furnace_vmi_host_descriptor(const furnace_vmi_host* host) {
  return host->descriptor();
}

FURNACE_EXPORT void furnace_vmi_host_handle(furnace_vmi_host* host) {
  host->handle();
}

FURNACE_EXPORT void furnace_vmi_host_event(furnace_vmi_host* host, const furnace_event* event) {
  host->note(*event);
}

FURNACE_EXPORT void furnace_vmi_host_close(furnace_vmi_host* host) {
  delete host;
}
}
