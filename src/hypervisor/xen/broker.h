// The process outside of a confined VMI partition that holds Xen's control for it: control of one domain is
// control of all, and of the host. The partition maps the domain's memory by itself, through a device that
// can do nothing else, and asks for the rest (broker/messages.h).
#pragma once

#include <string>
#include <vector>

#include "base/fd.h"
#include "hypervisor/broker/looking.h"

namespace furnace::hypervisor {

/// Attaches to the domain in a process of its own, which lets the domain go when the partition has ended, in
/// whatever way. Returns the descriptors for the partition, and a text that names them (`borrow_xen`).
struct LentXen {
  std::string text;
  std::vector<Fd> descriptors;
  Fd ended;  ///< readable when the broker has exited: it has let the domain go
};
[[nodiscard]] Result<LentXen> lend_xen(const std::string& name,
                                       broker::Borrower borrower = broker::Borrower::Partition);

}  // namespace furnace::hypervisor
