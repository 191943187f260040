#include "vmi/events/shared_watches.h"

#include "base/log.h"

namespace furnace::vmi {

using hypervisor::EventSource;
using hypervisor::Watch;

std::vector<SharedWatches::Key> SharedWatches::keys_of(const EventRequest& request) {
  Key key{request.type->number, request.address, request.length, request.access, guest::Pid::Kernel, false};
  if (request.type->number == wire::F_EPT) key.pid = request.pid;
  std::vector keys{key};
  if (request.returns) {
    keys.push_back(key);
    keys.back().returns = true;
  }
  return keys;
}

Status SharedWatches::add(const EventRequest& request, uint64_t user) {
  const auto keys = keys_of(request);
  for (size_t i = 0; i < keys.size(); ++i) {
    auto found = sources_.find(keys[i]);
    if (found == sources_.end()) {
      auto armed = arm(keys[i], request);
      if (!armed) {
        for (size_t undone = 0; undone < i; ++undone) {
          SharedWatch& source = sources_.at(keys[undone]);
          source.users.erase(user);
          if (source.users.empty()) (void)disarm(source), sources_.erase(keys[undone]);
        }
        return tl::unexpected<Error>(armed.error());
      }
      found = sources_.emplace(keys[i], *std::move(armed)).first;
      for (const uint64_t watch : found->second.watches) watches_.emplace(watch, keys[i]);
    }
    found->second.users.insert(user);
  }
  return {};
}

Status SharedWatches::remove(const EventRequest& request, uint64_t user) {
  Status result;
  for (const Key& key : keys_of(request)) {
    const auto found = sources_.find(key);
    if (found == sources_.end()) continue;
    found->second.users.erase(user);
    if (!found->second.users.empty()) continue;
    if (auto disarmed = disarm(found->second); !disarmed) result = std::move(disarmed);
    sources_.erase(found);
  }
  return result;
}

void SharedWatches::forget() {
  if (EventSource* source = machine_.hypervisor().events()) source->forget();
  sources_.clear();
  watches_.clear();
}

const SharedWatches::SharedWatch* SharedWatches::find(uint64_t watch) const {
  const auto key = watches_.find(watch);
  if (key == watches_.end()) return nullptr;
  return &sources_.at(key->second);
}

Result<SharedWatches::SharedWatch> SharedWatches::arm(const Key& key, const EventRequest& request) {
  EventSource* driver = machine_.hypervisor().events();
  if (driver == nullptr)
    return fail(Errc::Unavailable, "the hypervisor driver of '{}' has no source of events", machine_.name());
  const EventType& type = *request.type;
  SharedWatch source{&type, {}, {}, {}};
  if (type.trace) source.seen.trace = key.returns ? guest::Trace::SyscallExit : *type.trace;
  const auto kind = key.returns ? hypervisor::EventKind::SyscallReturn : type.kind;
  if (driver->offers(kind)) {
    source.seen.by_driver = true;
    FURNACE_TRY(const uint64_t watch,
                driver->watch({kind, key.address, key.length, key.access, request.table, {}}));
    source.watches.push_back(watch);
    return source;
  }
  if (!type.trace)
    return fail(Errc::Unavailable, "the hypervisor of '{}' does not report {}", machine_.name(),
                wire::EventType_Name(type.number));
  FURNACE_CHECK(arm_in_kernel(source, *driver));
  return source;
}

/// Watches the places of a kernel that are reached for this reason.
Status SharedWatches::arm_in_kernel(SharedWatch& source, EventSource& driver) {
  FURNACE_TRY(const guest::Kernel* kernel, machine_.kernel());
  FURNACE_TRY(const guest::LinuxGuest* guest, machine_.linux_guest());
  source.vcpus = machine_.hypervisor().vcpus();
  FURNACE_TRY(const auto points,
              guest::trace_points(*kernel, *guest, source.seen.trace, source.vcpus,
                                  watched_writes_.value_or(driver.prefers_watched_writes())));
  for (const guest::TracePoint& point : points) {
    source.seen.at_instruction = point.length == 0;
    Watch watch{hypervisor::EventKind::Breakpoint, point.address, 0, 0, {}, {}};
    if (point.length != 0)
      watch = {hypervisor::EventKind::MemoryAccess,
               point.address,
               point.length,
               hypervisor::kAccessWrite,
               {},
               point.after};
    auto number = driver.watch(watch);
    if (!number) {
      (void)disarm(source);
      return tl::unexpected<Error>(number.error());
    }
    source.watches.push_back(*number);
  }
  return {};
}

Status SharedWatches::rearm(const Key& key, SharedWatch& source) {
  FURNACE_CHECK(disarm(source));
  source.watches.clear();
  FURNACE_CHECK(arm_in_kernel(source, *machine_.hypervisor().events()));
  for (const uint64_t watch : source.watches) watches_.emplace(watch, key);
  return {};
}

bool SharedWatches::check_in_place() {
  EventSource* driver = machine_.hypervisor().events();
  if (driver == nullptr) return true;
  bool in_place = driver->check_in_place();
  for (auto& [key, source] : sources_) {
    if (source.seen.by_driver || source.vcpus == machine_.hypervisor().vcpus()) continue;
    in_place = false;
    if (auto again = rearm(key, source); !again)
      log::error("{} can't be watched any more: {}", wire::EventType_Name(key.type), again.error().message());
  }
  return in_place;
}

Status SharedWatches::disarm(const SharedWatch& source) {
  Status result;
  for (const uint64_t watch : source.watches) {
    watches_.erase(watch);
    EventSource* driver = machine_.hypervisor().events();
    if (driver == nullptr) continue;
    if (auto done = driver->unwatch(watch); !done) result = std::move(done);
  }
  return result;
}

}  // namespace furnace::vmi
