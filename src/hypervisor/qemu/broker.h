// The process outside of a confined VMI partition that holds QEMU's connections and memory for it: QMP is
// control of QEMU, and QEMU's user is often root. The partition maps RAM that is a file, and asks for the
// rest (broker/messages.h). The broker parses nothing that a guest can write.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "hypervisor/broker/looking.h"
#include "hypervisor/hypervisor.h"
#include "hypervisor/qemu/guest_ram.h"
#include "hypervisor/qemu/process.h"
#include "hypervisor/qemu/setup.h"

namespace furnace::hypervisor {

struct LentQemu {
  std::string text;  ///< names the descriptors by their numbers (`borrow_qemu`)
  std::vector<Fd> descriptors;
  Fd ended;  ///< readable when the broker has exited: it has let the guest and QEMU's socket go
  std::filesystem::path visitors;  ///< a socket to remove at the end; empty: there is none
};

/// Attaches to the QEMU of this name, and leaves it to a process of its own, which lets the guest run when
/// the partition has ended, in whatever way. That process calls `confine` first of all, and ends if it fails.
/// Visitors find that of a partition at `broker_socket`.
[[nodiscard]] Result<LentQemu> lend_qemu(const std::string& name, RamAccess access,
                                         const std::function<Status()>& confine,
                                         broker::Borrower borrower = broker::Borrower::Partition);

/// What a borrower's end of a broker's connections is made of.
struct BorrowersEnd {
  Fd requests, news;
  Fd memory;  ///< shared with the broker
};
/// The text and the descriptors for `borrow_qemu`.
[[nodiscard]] LentQemu lent_qemu(const QemuProcess& process, const QemuSetup& setup, GuestRam::Parts& ram,
                                 BorrowersEnd end);

/// Memory of a fixed size, which neither side can take from under the other.
[[nodiscard]] Result<Fd> memory_shared_with_broker();

}  // namespace furnace::hypervisor
