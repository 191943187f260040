// The process outside of a confined VMI partition that holds QEMU's connections and memory for it: QMP is
// control of QEMU, and QEMU's user is often root. The partition maps RAM that is a file, and asks for the
// rest (broker/messages.h). The broker parses nothing that a guest can write.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "hypervisor/driver.h"
#include "hypervisor/qemu/guest_ram.h"
#include "hypervisor/qemu/process.h"
#include "hypervisor/qemu/setup.h"

namespace furnace::hypervisor {

/// Attaches to the QEMU of this name, and leaves it to a process of its own, which resumes the guest when
/// the partition exits, for any reason. Visitors find that of a partition at `broker_socket`.
[[nodiscard]] Result<Lent> lend_qemu(const std::string& name, const LendOptions& options);

/// What a borrower's end of a broker's connections is made of.
struct BorrowersEnd {
  Fd requests, news;
  Fd memory;  ///< shared with the broker
};
/// The text and the descriptors for `borrow_qemu`.
[[nodiscard]] Lent lent_qemu(const QemuProcess& process, const QemuSetup& setup, GuestRam::Parts& ram,
                             BorrowersEnd end);

/// Memory of a fixed size, which neither side can take from under the other.
[[nodiscard]] Result<Fd> memory_shared_with_broker();

}  // namespace furnace::hypervisor
