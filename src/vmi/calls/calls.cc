#include "vmi/calls/calls.h"

#include <array>

#include "base/bytes.h"
#include "base/enum_table.h"
#include "base/printable.h"
#include "guest/linux/syscalls.h"
#include "vmi/calls/long_calls.h"
#include "vmi/calls/place.h"

namespace furnace::vmi {
namespace {

using guest::AddressSpace;
using guest::Gpa;
using guest::Gva;
using guest::Pid;
using protocol::Call;
using protocol::Target;
using protocol::Verb;

Pid pid_of(const Arguments& arguments) {
  return Pid{static_cast<int32_t>(arguments.get(Number::Pid).value_or(0))};
}

/// The address space that a call names by its pid; that of a process was found before.
Result<AddressSpace> space_of(CallContext& context, const Arguments& arguments) {
  const Pid pid = pid_of(arguments);
  if (context.space && context.space->first == pid) return context.space->second;
  if (pid != Pid::Kernel) return fail(Errc::NotFound, "no process with pid {}", guest::number(pid));
  FURNACE_TRY(const guest::LinuxGuest* linux_guest, context.machine.linux_guest());
  context.space.emplace(pid, linux_guest->kernel_space());
  return linux_guest->kernel_space();
}

Result<Place> place_of(CallContext& context, const Call& call, const Arguments& arguments) {
  Gva address;
  if (call.target == Target::Symbol) {
    const auto symbol = arguments.get(Text::Symbol);
    if (!symbol) return fail(Errc::Invalid, "no symbol given");
    FURNACE_TRY(const guest::Kernel* kernel, context.machine.kernel());
    FURNACE_TRY(address, kernel->symbol(*symbol));
  } else {
    const auto given = arguments.get(Number::Address);
    if (!given) return fail(Errc::Invalid, "no address given");
    address = Gva{*given};
  }
  if (call.target == Target::Physical)
    return Place(context.machine.hypervisor().memory(), Gpa{address.value});
  FURNACE_TRY(const AddressSpace space, space_of(context, arguments));
  return Place(space, address);
}

size_t width_of(const Call& call) {
  return call.width != 0 ? call.width : sizeof(uint64_t);
}

Reply read_number(CallContext& context, const Call& call, const Arguments& arguments) {
  FURNACE_TRY(const Place place, place_of(context, call, arguments));
  uint64_t value = 0;
  const auto bytes = std::as_writable_bytes(std::span(&value, 1)).first(width_of(call));
  if (place.read(bytes) != bytes.size()) return tl::unexpected<Error>(place.why_short(bytes.size()));
  return value;
}

Reply read_bytes(CallContext& context, const Call& call, const Arguments& arguments) {
  const auto count = static_cast<int32_t>(arguments.get(Number::Count).value_or(0));
  if (count < 1 || count > protocol::kMaxReadCount)
    return fail(Errc::Invalid, "count {}: expected 1 to {}", count, protocol::kMaxReadCount);
  FURNACE_TRY(const Place place, place_of(context, call, arguments));
  return read_in_steps(place, static_cast<size_t>(count));
}

Reply read_string(CallContext& context, const Call& call, const Arguments& arguments) {
  FURNACE_TRY(const Place place, place_of(context, call, arguments));
  FURNACE_TRY(const std::string text, place.read_string(protocol::kMaxString));
  return valid_utf8(text);
}

Reply write(CallContext& context, const Call& call, const Arguments& arguments,
            std::span<const std::byte> data) {
  if (!context.machine.hypervisor().memory().writable())
    return fail(Errc::Denied, "the guest is a snapshot, which can't be written to");
  FURNACE_TRY(const Place place, place_of(context, call, arguments));
  const size_t put = place.write(data);
  Reply reply;
  reply.bytes = static_cast<int64_t>(put);
  if (put != data.size()) reply.error = place.why_short(data.size());
  reply.note = place.note_on_write(put);
  return reply;
}

Reply write_number(CallContext& context, const Call& call, const Arguments& arguments) {
  const auto value = arguments.get(Number::Value);
  if (!value) return fail(Errc::Invalid, "no value given");
  return write(context, call, arguments, std::as_bytes(std::span(&*value, 1)).first(width_of(call)));
}

Reply write_bytes(CallContext& context, const Call& call, const Arguments& arguments) {
  const auto buffer = arguments.get(Text::Buffer);
  if (!buffer) return fail(Errc::Invalid, "no buffer given");
  // 1.0 clients send the buffer's size beside it; never more than the buffer is written.
  const uint64_t count = arguments.get(Number::Count).value_or(buffer->size());
  if (count > buffer->size())
    return fail(Errc::Invalid, "count {} is larger than the buffer of {} bytes", count, buffer->size());
  return write(context, call, arguments, as_bytes(buffer->substr(0, count)));
}

Reply translate(CallContext& context, const Call&, const Arguments& arguments) {
  const auto address = arguments.get(Number::Address);
  if (!address) return fail(Errc::Invalid, "no address given");
  FURNACE_TRY(const AddressSpace space, space_of(context, arguments));
  const auto translation = space.translate(Gva{*address});
  if (!translation) return fail(Errc::Unmapped, "{}", guest::explain(translation.error()));
  return translation->gpa.value;
}

Reply lookup_symbol(CallContext& context, const Call&, const Arguments& arguments) {
  const auto symbol = arguments.get(Text::Symbol);
  if (!symbol) return fail(Errc::Invalid, "no symbol given");
  FURNACE_TRY(const guest::Kernel* kernel, context.machine.kernel());
  FURNACE_TRY(const Gva address, kernel->symbol(*symbol));
  return address.value;
}

Reply lookup_structure(CallContext& context, const Call&, const Arguments& arguments) {
  const auto structure = arguments.get(Text::Symbol);
  const auto member = arguments.get(Text::Member);
  if (!structure || !member) return fail(Errc::Invalid, "structure or member not given");
  FURNACE_TRY(const guest::Kernel* kernel, context.machine.kernel());
  FURNACE_TRY(const uint64_t offset, kernel->member(*structure, *member));
  return offset;
}

Reply describe_structure(CallContext& context, const Call&, const Arguments& arguments) {
  const auto structure = arguments.get(Text::Symbol);
  if (!structure) return fail(Errc::Invalid, "no structure given");
  FURNACE_TRY(const guest::Kernel* kernel, context.machine.kernel());
  FURNACE_TRY(auto description, guest::describe_structure(kernel->profile().types(), *structure));
  return description;
}

Reply get_offset(CallContext& context, const Call&, const Arguments& arguments) {
  struct Known {
    std::string_view name, structure, member;
  };
  constexpr std::array known = {
      Known{"linux_tasks", "task_struct", "tasks"}, Known{"linux_name", "task_struct", "comm"},
      Known{"linux_pid", "task_struct", "pid"},     Known{"linux_mm", "task_struct", "mm"},
      Known{"linux_pgd", "mm_struct", "pgd"},
  };
  const auto name = arguments.get(Text::Symbol);
  if (!name) return fail(Errc::Invalid, "no offset name given");
  for (const Known& row : known) {
    if (row.name != *name) continue;
    FURNACE_TRY(const guest::Kernel* kernel, context.machine.kernel());
    FURNACE_TRY(const uint64_t offset, kernel->member(row.structure, row.member));
    return offset;
  }
  if (name->starts_with("win_")) return fail(Errc::NotFound, "offset '{}': the guest is Linux", *name);
  return fail(Errc::NotFound,
              "no offset '{}': known are linux_tasks, linux_name, linux_pid, linux_mm, linux_pgd", *name);
}

Reply process_list(CallContext& context, const Call&, const Arguments&) {
  FURNACE_TRY(const guest::LinuxGuest* linux_guest, context.machine.linux_guest());
  return list_in_steps(*linux_guest, [](CallContext&, Result<guest::ProcessList> found) -> Reply {
    if (!found) return tl::unexpected<Error>(found.error());
    return *std::move(found);
  });
}

Reply get_vcpureg(CallContext& context, const Call&, const Arguments& arguments) {
  const auto name = arguments.get(Text::Register);
  if (!name) return fail(Errc::Invalid, "no register given (field 200 'reg', for example \"cr3\")");
  const auto vcpu = static_cast<uint32_t>(arguments.get(Number::Vcpu).value_or(0));
  FURNACE_TRY(const auto registers, context.machine.hypervisor().registers(vcpu));
  if (!registers) return fail(Errc::Unavailable, "this guest has no vCPU registers");
  const auto known = hypervisor::register_named(*name);
  const auto value = known ? registers->get(*known) : std::nullopt;
  if (!value) return fail(Errc::NotFound, "no register '{}'", *name);
  return *value;
}

Reply pause_vm(CallContext& context, const Call&, const Arguments&) {
  FURNACE_CHECK(context.pauses.pause(context.session));
  return {};
}

Reply resume_vm(CallContext& context, const Call&, const Arguments&) {
  FURNACE_TRY(const Pauses::Resumed resumed, context.pauses.resume(context.session));
  Reply reply;
  if (resumed == Pauses::Resumed::TooLate)
    reply.note = "too late: the guest had run on by itself, as a SYNC event's time was over";
  return reply;
}

Reply get_ostype(CallContext& context, const Call&, const Arguments&) {
  FURNACE_TRY(const guest::Kernel* kernel, context.machine.kernel());
  (void)kernel;
  return std::string("VMI_OS_LINUX");
}

Reply get_page_mode(CallContext& context, const Call&, const Arguments&) {
  FURNACE_TRY(const guest::Kernel* kernel, context.machine.kernel());
  (void)kernel;
  return std::string("VMI_PM_IA32E");
}

Reply not_windows(CallContext& context, const Call&, const Arguments&) {
  FURNACE_TRY(const guest::Kernel* kernel, context.machine.kernel());
  return fail(Errc::Invalid, "the guest is not Windows: {}", kernel->profile().banner());
}

constexpr uint64_t kSync = 1, kAsync = 2;  // SyncState of the wire

Result<bool> is_sync(const Arguments& arguments) {
  const auto state = arguments.get(Number::SyncState).value_or(kAsync);
  if (state != kSync && state != kAsync)
    return fail(Errc::Invalid, "sync_state {}: expected F_SYNC 1 or F_ASYNC 2", state);
  return state == kSync;
}

/// The place that an event is about, of those that have one.
Status read_place(const Arguments& arguments, EventRequest& request) {
  if (request.type->number == wire::F_INT) {
    const auto address = arguments.get(Number::BreakpointAddress);
    if (!address) return fail(Errc::Invalid, "no bp_addr given");
    request.address = Gva{*address};
  }
  if (request.type->number == wire::F_EPT) {
    const auto address = arguments.get(Number::WatchAddress);
    const auto length = arguments.get(Number::WatchLength).value_or(8);
    const auto access = arguments.get(Number::WatchAccess).value_or(hypervisor::kAccessWrite);
    const auto physical = arguments.get(Number::WatchPhysical);
    if (address.has_value() == physical.has_value()) return fail(Errc::Invalid, "expected a gva or a gpa");
    if (physical && arguments.get(Number::BreakpointPid).value_or(0) != 0)
      return fail(Errc::Invalid, "a gpa is watched in the kernel's direct map: it has no pid");
    const uint64_t start = address ? *address : *physical;
    if (length == 0 || start + length < start)
      return fail(Errc::Invalid, "length {}: nothing to watch", length);
    constexpr uint64_t most = 1 << 20;
    if (length > most) return fail(Errc::Invalid, "length {}: at most {} bytes can be watched", length, most);
    if (access == 0 || access > 7)
      return fail(Errc::Invalid, "access {}: expected read 1, write 2, execute 4, or a sum", access);
    if (address) request.address = Gva{*address};
    if (physical) request.physical = Gpa{*physical};
    request.length = length;
    request.access = static_cast<uint8_t>(access);
  }
  return {};
}

Result<EventRequest> event_request(const Arguments& arguments) {
  EventRequest request;
  const auto type = arguments.get(Number::EventType).value_or(0);
  request.type = find_event_type(type);
  if (request.type == nullptr)
    return fail(Errc::Invalid, "event_type {}: expected F_REG 1, F_EPT 2, F_INT 3, or 200 to 206", type);
  constexpr uint64_t cr3 = 1;
  if (request.type->number == wire::F_REG && arguments.get(Number::RegValue).value_or(cr3) != cr3)
    return fail(Errc::Invalid, "reg_value: only F_CR3 can be watched");
  FURNACE_CHECK(read_place(arguments, request));
  FURNACE_TRY(request.sync, is_sync(arguments));
  request.pid = Pid{static_cast<int32_t>(arguments.get(Number::BreakpointPid).value_or(0))};
  if (const auto uid = arguments.get(Number::Uid)) request.uid = static_cast<uint32_t>(*uid);
  if (const auto number = arguments.get(Number::SyscallNumber))
    request.number = static_cast<uint32_t>(*number);
  if (const auto name = arguments.get(Text::BreakpointName);
      name && !name->empty() && request.type->number == wire::F_SYSCALL) {
    request.number = guest::syscall_number(std::string(*name));
    if (!request.number)
      return fail(Errc::Invalid, "no system call of x86-64 is named '{}'", printable(name->substr(0, 80)));
  }
  request.returns = arguments.get(Number::Returns).value_or(0) != 0;
  request.notices = arguments.get(Number::Notices).value_or(0) != 0;
  request.gathers = arguments.get(Number::Gathers).value_or(0) != 0;
  if (request.type->number != wire::F_SYSCALL && (request.number || request.returns))
    return fail(Errc::Invalid, "number and returns are for events of system calls (F_SYSCALL)");
  return request;
}

Status check_has_events(CallContext& context) {
  if (context.machine.hypervisor().events() != nullptr) return {};
  return fail(Errc::Unavailable, "the hypervisor driver of '{}' has no source of events",
              context.machine.name());
}

/// `process`: the one that the request names, if it names one.
Reply add_event(CallContext& context, const EventRequest& request,
                const std::optional<guest::Process>& process) {
  const auto add = [request, process](CallContext& later, std::span<const guest::Process> all) -> Reply {
    FURNACE_TRY(const uint64_t identifier,
                later.events.add(later.session, request, process ? &*process : nullptr, all));
    return identifier;
  };
  if (!request.watches_data()) return add(context, {});
  FURNACE_TRY(const guest::LinuxGuest* linux_guest, context.machine.linux_guest());
  return list_in_steps(*linux_guest, [add](CallContext& later, Result<guest::ProcessList> all) -> Reply {
    if (!all) return tl::unexpected<Error>(all.error());
    // The stack of a process that is not known must not be watched.
    if (!all->gap.empty()) return fail(Errc::Unavailable, "{}", all->gap);
    return add(later, all->processes);
  });
}

Reply register_event(CallContext& context, const EventRequest& request) {
  if (context.events.count(context.session) >= kMaxEvents) {
    Reply refused(fail(Errc::Invalid, "{} events are registered, which is the limit", kMaxEvents));
    refused.refusal = protocol::BatchError::EventLimit;
    return refused;
  }
  if (request.sync) FURNACE_CHECK(check_permitted(context.session.forbidden, Needs::Pause));
  FURNACE_CHECK(check_has_events(context));
  if (request.pid == Pid::Kernel) return add_event(context, request, std::nullopt);
  FURNACE_TRY(const guest::LinuxGuest* linux_guest, context.machine.linux_guest());
  return find_in_steps(*linux_guest, request.pid,
                       [request](CallContext& later, const Result<guest::Process>& found) -> Reply {
                         if (!found) return tl::unexpected<Error>(found.error());
                         return add_event(later, request, *found);
                       });
}

Reply event_register(CallContext& context, const Call&, const Arguments& arguments) {
  FURNACE_TRY(const EventRequest request, event_request(arguments));
  return register_event(context, request);
}

Reply event_clear(CallContext& context, const Call&, const Arguments& arguments) {
  const auto identifier = arguments.get(Number::Identifier);
  if (!identifier) return fail(Errc::Invalid, "no identifier given");
  FURNACE_CHECK(context.events.remove(context.session, *identifier));
  return *identifier;
}

Reply start_syscall(CallContext& context, const Call&, const Arguments& arguments) {
  if (context.events.syscall_tracing(context.session))
    return fail(Errc::Invalid, "this app traces system calls already");
  EventRequest request;
  request.type = find_event_type(wire::F_SYSCALL);
  request.from_start_syscall = true;
  FURNACE_TRY(request.sync, is_sync(arguments));
  return register_event(context, request);
}

Reply stop_syscall(CallContext& context, const Call&, const Arguments&) {
  const auto identifier = context.events.syscall_tracing(context.session);
  if (!identifier) return fail(Errc::Invalid, "this app does not trace system calls");
  FURNACE_CHECK(context.events.remove(context.session, *identifier));
  return {};
}

Reply let_events_flow(CallContext& context, bool flow) {
  FURNACE_CHECK(check_has_events(context));
  context.session.events_started = flow;
  return {};
}

using Handler = Reply (*)(CallContext&, const Call&, const Arguments&);

constexpr EnumTable<Verb, Handler> kHandlers({
    {Verb::EventClear, event_clear},
    {Verb::EventRegister, event_register},
    {Verb::EventsStart,
     [](CallContext& c, const Call&, const Arguments&) -> Reply { return let_events_flow(c, true); }},
    {Verb::EventsStop,
     [](CallContext& c, const Call&, const Arguments&) -> Reply { return let_events_flow(c, false); }},
    {Verb::GetAccessMode,
     [](CallContext& c, const Call&, const Arguments&) -> Reply {
       return static_cast<uint64_t>(c.machine.hypervisor().access_mode());
     }},
    {Verb::GetMemsize,
     [](CallContext& c, const Call&, const Arguments&) -> Reply {
       return c.machine.hypervisor().memory_size();
     }},
    {Verb::GetName,
     [](CallContext& c, const Call&, const Arguments&) -> Reply { return c.machine.hypervisor().name(); }},
    {Verb::GetOffset, get_offset},
    {Verb::GetOstype, get_ostype},
    {Verb::GetPageMode, get_page_mode},
    {Verb::GetVcpureg, get_vcpureg},
    {Verb::GetVmid,
     [](CallContext& c, const Call&, const Arguments&) -> Reply {
       return uint64_t{c.machine.hypervisor().id()};
     }},
    {Verb::GetWinver, not_windows},
    {Verb::GetWinverStr, not_windows},
    {Verb::LookupStructure, lookup_structure},
    {Verb::LookupSymbol, lookup_symbol},
    {Verb::PauseVm, pause_vm},
    {Verb::ProcessList, process_list},
    {Verb::ReadBytes, read_bytes},
    {Verb::ReadNumber, read_number},
    {Verb::ReadString, read_string},
    {Verb::ResumeVm, resume_vm},
    {Verb::StartSyscall, start_syscall},
    {Verb::Status, [](CallContext&, const Call&, const Arguments&) -> Reply { return uint64_t{1}; }},
    {Verb::StopSyscall, stop_syscall},
    {Verb::TranslateKernel, translate},
    {Verb::TranslateSymbol, lookup_symbol},
    {Verb::TranslateUser, translate},
    {Verb::WriteBytes, write_bytes},
    {Verb::WriteNumber, write_number},
    {Verb::DescribeStructure, describe_structure},
});

Reply run(CallContext& context, const Call& call, const Arguments& arguments) {
  return kHandlers[call.verb](context, call, arguments);
}

Result<AddressSpace> space_of_found(CallContext& context, const Result<guest::Process>& found) {
  if (!found) return tl::unexpected<Error>(found.error());
  FURNACE_TRY(const guest::LinuxGuest* linux_guest, context.machine.linux_guest());
  return linux_guest->space_of(*found);
}

}  // namespace

Reply execute(CallContext& context, const Call& call, const Arguments& arguments) {
  ++context.session.counters.calls;
  const Status permitted = check_permitted(context.session.forbidden, call.needs);
  if (!permitted) return tl::unexpected<Error>(permitted.error());
  const Pid pid = pid_of(arguments);
  if (pid == Pid::Kernel || context.knows(pid)) return run(context, call, arguments);
  const auto linux_guest = context.machine.linux_guest();
  if (!linux_guest) {
    context.space.emplace(pid, tl::unexpected<Error>(linux_guest.error()));
    return run(context, call, arguments);
  }
  return find_in_steps(**linux_guest, pid,
                       [&call, arguments](CallContext& later, const Result<guest::Process>& found) {
                         later.space.emplace(pid_of(arguments), space_of_found(later, found));
                         return run(later, call, arguments);
                       });
}

void release(CallContext& context) {
  context.events.forget(context.session);
  context.pauses.release(context.session);
}

}  // namespace furnace::vmi
