// What the driver watches for the events that apps registered: shared by those that ask for the same.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <vector>

#include "vmi/events/event_types.h"
#include "vmi/events/occurrence.h"
#include "vmi/machine.h"

namespace furnace::vmi {

class SharedWatches {
  using EventSource = hypervisor::EventSource;

 public:
  /// Something to watch for; equal ones are watched once.
  struct Key {
    wire::EventType type = wire::F_REG;
    guest::Gva address;
    uint64_t length = 0;
    uint8_t access = 0;
    guest::Pid pid = guest::Pid::Kernel;  ///< of F_EPT: whose memory it is
    bool returns = false;                 ///< of system calls
    auto operator<=>(const Key&) const = default;
  };
  /// What an event needs to be watched for.
  [[nodiscard]] static std::vector<Key> keys_of(const EventRequest& request);

  explicit SharedWatches(Machine& machine) : machine_(machine) {}
  /// Of the two ways to see what the kernel does; otherwise the driver chooses.
  void set_watched_writes(std::optional<bool> choice) { watched_writes_ = choice; }

  /// Starts watching for `user`, all of it or nothing. The error says what this driver can't watch.
  [[nodiscard]] Status add(const EventRequest& request, uint64_t user);
  [[nodiscard]] Status remove(const EventRequest& request, uint64_t user);
  /// Checks whether all is still in place and watches again where it is not, and on each vCPU that was
  /// plugged in since. Returns whether all was in place.
  [[nodiscard]] bool check_in_place();
  [[nodiscard]] bool empty() const { return sources_.empty(); }
  /// Ends all; for a guest that was reset.
  void forget();

  /// Whom a watch of the driver concerns, and how to read its events; nullptr for one that has ended.
  struct SharedWatch {
    const EventType* type;
    HowSeen seen;
    std::set<uint64_t> users;
    std::vector<uint64_t> watches;
    uint32_t vcpus = 0;  ///< for how many it was made
  };
  [[nodiscard]] const SharedWatch* find(uint64_t watch) const;

 private:
  [[nodiscard]] Result<SharedWatch> arm(const Key& key, const EventRequest& request);
  [[nodiscard]] Status arm_in_kernel(SharedWatch& source, EventSource& driver);
  [[nodiscard]] Status disarm(const SharedWatch& source);
  [[nodiscard]] Status rearm(const Key& key, SharedWatch& source);

  Machine& machine_;
  std::optional<bool> watched_writes_;
  std::map<Key, SharedWatch> sources_;
  std::map<uint64_t, Key> watches_;
};

}  // namespace furnace::vmi
