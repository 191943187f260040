// Reads what an event of the driver means: from the registers of its vCPU and the memory of the guest.
#pragma once

#include <map>
#include <set>

#include "vmi/events/occurrence.h"
#include "vmi/machine.h"

namespace furnace::vmi {

/// Reads events while their vCPUs are paused.
class EventReader {
 public:
  explicit EventReader(Machine& machine) : machine_(machine) {}

  /// What an event shows of itself, and of the process that runs on its vCPU.
  [[nodiscard]] Occurrence begin(const hypervisor::GuestEvent& event) const;
  /// Reads the rest. Returns false if it is no such event after all (a thread, not a process; a credential
  /// set that is the same). The error says what the kernel's structures lack.
  [[nodiscard]] Result<bool> complete(const HowSeen& seen, Occurrence& occurrence);
  /// Names and paths of a system call's arguments.
  void name_arguments(Occurrence& occurrence) const;

  /// The guest was reset.
  void forget() { roots_.clear(), in_syscall_.clear(), ended_.clear(); }

 private:
  static void take_over(const hypervisor::KernelEvent& known, const guest::LinuxGuest& guest,
                        Occurrence& occurrence);
  [[nodiscard]] static Result<bool> complete_known(guest::Trace trace, Occurrence& occurrence);
  /// The kernel that runs while an event is read.
  struct Running {
    const guest::Kernel& kernel;
    const guest::LinuxGuest& guest;
  };
  using Reader = Result<bool> (EventReader::*)(const Running&, const HowSeen&, Occurrence&);
  [[nodiscard]] Result<bool> address_space_switch(const Running& running, const HowSeen& seen,
                                                  Occurrence& occurrence);
  [[nodiscard]] Result<bool> syscall_entry(const Running& running, const HowSeen& seen,
                                           Occurrence& occurrence);
  [[nodiscard]] Result<bool> syscall_return(const Running& running, const HowSeen& seen,
                                            Occurrence& occurrence);
  [[nodiscard]] Result<bool> process_created(const Running& running, const HowSeen& seen,
                                             Occurrence& occurrence);
  [[nodiscard]] Result<bool> process_executed(const Running& running, const HowSeen& seen,
                                              Occurrence& occurrence);
  [[nodiscard]] Result<bool> process_exited(const Running& running, const HowSeen& seen,
                                            Occurrence& occurrence);
  [[nodiscard]] Result<bool> credentials_changed(const Running& running, const HowSeen& seen,
                                                 Occurrence& occurrence);
  [[nodiscard]] Result<bool> module_loaded(const Running& running, const HowSeen& seen,
                                           Occurrence& occurrence);

  Machine& machine_;
  std::map<uint32_t, uint64_t> roots_;            ///< the CR3 last seen on each vCPU
  std::set<std::pair<int32_t, uint64_t>> ended_;  ///< pid and start of processes whose end was seen
  std::map<int32_t, uint32_t> in_syscall_;        ///< by thread: the system call it is in
};

}  // namespace furnace::vmi
