// What a driver is to everything that starts partitions and readers: one row of the table of drivers
// (drivers.cc). The row is in the driver's own folder.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "hypervisor/broker/looking.h"
#include "hypervisor/hypervisor.h"

namespace furnace::hypervisor {

struct LendOptions {
  RamAccess access = RamAccess::Read;
  std::function<Status()> confine;  ///< the broker calls it first of all, and exits if it fails
  broker::Borrower borrower = broker::Borrower::Partition;
};

/// A VM for a process inside walls: what it maps by itself, and its connection to a broker.
struct Lent {
  std::string text;  ///< names the descriptors by their numbers, for `Driver::borrow`
  std::vector<Fd> descriptors;
  Fd ended;                            ///< readable when the broker has exited: it has released the guest
  std::filesystem::path visitors;      ///< a socket to remove at the end; empty: there is none
  std::optional<uint64_t> memory_end;  ///< where the guest's physical memory ends
};

struct Driver {
  const char* name;
  const char* summary;            ///< what its VMs are, for --help
  const char* missing = nullptr;  ///< the package without which this build has no such driver
  /// Returns true if "auto" should take this driver for a VM of this name; the first that does is taken.
  bool (*claims)(const std::string& name);

  // Null if the driver is missing:

  /// Checks that there is such a VM, without attaching to it: Errc::NotFound says which there are. A driver
  /// that can't know finds all.
  Status (*find)(const std::string& name) = nullptr;
  /// Attaches to it. `scratch`: an empty file that some snapshots are written to in another order.
  Result<std::unique_ptr<Hypervisor>> (*attach)(const std::string& name, RamAccess access,
                                                Fd scratch) = nullptr;

  // Null if its VMs are files, which a partition opens by itself, or nothing at all:

  /// Attaches, and leaves the VM to a process of its own, which resumes the guest when the borrower
  /// exits, for any reason.
  Result<Lent> (*lend)(const std::string& name, const LendOptions& options) = nullptr;
  /// Takes what was lent, in the process that it was lent to: Lent::text.
  Result<std::unique_ptr<Hypervisor>> (*borrow)(const std::string& text) = nullptr;

  const char* policy = nullptr;  ///< of its VMI partitions; null: they can't be confined
  bool scratch = false;          ///< its partitions get a file for `attach`
};

}  // namespace furnace::hypervisor
