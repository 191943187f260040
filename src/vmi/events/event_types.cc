#include "vmi/events/event_types.h"

#include <algorithm>
#include <array>

namespace furnace::vmi {
namespace {

using guest::Trace;
using hypervisor::EventKind;

constexpr std::array kTypes = {
    EventType{wire::F_REG, EventKind::Cr3Write, Trace::AddressSpaceSwitch},
    EventType{wire::F_EPT, EventKind::MemoryAccess, std::nullopt},
    EventType{wire::F_INT, EventKind::Breakpoint, std::nullopt},
    EventType{wire::F_SYSCALL, EventKind::Syscall, Trace::SyscallEntry},
    EventType{wire::F_PROCESS_CREATED, EventKind::ProcessCreated, Trace::ProcessCreated},
    EventType{wire::F_PROCESS_EXECUTED, EventKind::ProcessExecuted, Trace::ProcessExecuted},
    EventType{wire::F_PROCESS_EXITED, EventKind::ProcessExited, Trace::ProcessExited},
    EventType{wire::F_CREDENTIALS, EventKind::CredentialsChanged, Trace::CredentialsChanged},
    EventType{wire::F_MODULE_LOADED, EventKind::ModuleLoaded, Trace::ModuleLoaded},
    EventType{wire::F_GUEST_REQUEST, EventKind::GuestRequest, std::nullopt},
};

}  // namespace

const EventType* find_event_type(uint64_t number) {
  const auto found = std::find_if(kTypes.begin(), kTypes.end(), [&](const EventType& type) {
    return static_cast<uint64_t>(type.number) == number;
  });
  return found == kTypes.end() ? nullptr : &*found;
}

}  // namespace furnace::vmi
