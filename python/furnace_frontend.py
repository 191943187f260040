"""The tenant API of an app: read the VM, store values, talk to the backend, get events.

An app is a class whose constructor takes `ctx`, a dict {'uuid': app id, 'metadata': text}, and registers
callbacks:

    import fe

    class App:
        def __init__(self, ctx):
            fe.event_register({'event_type': fe.TIMER, 'time_value': 1.0, 'callback': self.tick})

        def tick(self, ctx):
            fe.notify(f'{len(fe.process_list())} processes')

Calls that read return 0, '' or b'' when they fail; `fe.checked` has the same calls, which raise VmiError
instead. Addresses are ints; pid 0 (fe.KERNEL) is the kernel's address space.
"""

from collections import namedtuple

import _furnace
import furnace_checks as _checks
import furnace_events as _events
from _furnace import *  # noqa: F401; noqa: F401,F403  the calls, made from the table of calls
from _furnace import (
    Busy,
    Denied,
    Gone,
    Invalid,
    NotFound,
    NotMapped,
    Unavailable,
    VmiError,
    checked,
    io_delete,
    io_get,
    io_list,
    io_set,
    io_usage,
    log,
    notify,
    notify_bytes,
    request,
    request_bytes,
    traceparent,
)
from furnace_batch import Batch, batch, batch_new, batch_send, read_many  # noqa: F401
from furnace_constants import *  # noqa: F401,F403
from furnace_constants import ASYNC, BE, TIMER
from furnace_events import (  # noqa: F401
    CredentialsEvent,
    MemoryEvent,
    ModuleEvent,
    ProcessEvent,
    SyscallEvent,
    VmEvent,
)
from furnace_types import Pointer, Struct, layout, list_of, offset_of, struct, tasks  # noqa: F401


class BackendMessage(namedtuple('BackendMessage', 'type message')):
    """A message of the backend: type 'notify' (to this app) or 'broadcast' (to all), message: its text (str),
    or bytes. Its attribute lost counts the messages of this type before it that were lost on the way."""

    lost = 0


# The loop's own functions are wrapped below, the event calls are made with their meaning.
del (
    add_timer,
    remove_timer,
    set_backend_callback,
    set_log_name,
    stop_loop,
    set_event_callback,
    set_vmi_again_callback,
    vmi_losses,
)  # noqa: F821
del batch_serialize, batch_exchange, batch_parse, field_index  # noqa: F821

_backend_event = None  # id of the one registered callback for the backend's messages
_BACKEND_ID = 999_999_999


def event_register(event):
    """Registers a callback; returns the event's id for event_clear.

    {'event_type': fe.TIMER, 'time_value': seconds, 'callback': f}: f('timer triggered') every N seconds; with
    0.0 at every turn of the loop. {'event_type': fe.BE, 'callback': f}: f(BackendMessage); at most one
    callback.

    Events of the VM call f(VmEvent) between events_start() and events_stop(). With 'sync': fe.SYNC the VM
    stays paused until f returns; with fe.ASYNC (the default) it resumes at once. All take 'pid' (INT:
    'bp_pid'): only this process; and 'uid': only this user's processes. 'on_end': f(reason) is called when a
    reboot ends the event (INT, MEM, and those with a pid), or when the connection to the VMI partition is
    lost, which ends all.
    {'event_type': fe.REG, 'reg_type': fe.CR3}: the address space of a vCPU changes; .cr3 and .old_cr3.
    {'event_type': fe.INT, 'bp_addr': address, 'bp_pid': pid}: an instruction is reached, in one process or
    (0) in any. It must be the first byte of the instruction: the middle is never reached, and with KVM it
    changes what the VM executes.
    {'event_type': fe.MEM, 'addr': address, 'length': 8, 'access': 'w', 'pid': pid}: memory is read, written
    or executed (any of 'r', 'w', 'x'); f(MemoryEvent). It sees accesses through this very address, by code of
    the guest. With 'gpa': physical address instead: the kernel's accesses to it through its direct map.
    {'event_type': fe.SYSCALL, 'number': 'openat', 'returns': False}: a system call (a name, a number, or all
    of them); with 'returns' also when it returns; f(SyscallEvent).
    {'event_type': fe.PROCESS_CREATED}, PROCESS_EXECUTED, PROCESS_EXITED: f(ProcessEvent).
    {'event_type': fe.CREDENTIALS}: a process gets other user ids or capabilities; f(CredentialsEvent).
    {'event_type': fe.MODULE_LOADED}: a kernel module is loaded; f(ModuleEvent).
    {'event_type': fe.GUEST_REQUEST}: a process of the VM asks for attention by a hypercall (only on Xen:
    HVMOP_guest_request_vm_event); rdx is the value that it passes.
    """
    global _backend_event
    _checks.check_keys(event, event)  # that it is a dict
    kind = event.get('event_type')
    callback = _checks.callback_of(event)
    if kind == TIMER:
        _checks.check_keys(event, ['time_value'])
        return _furnace.add_timer(_checks.seconds_of(event), callback)
    if kind in _events.KINDS:
        return _events.register(event, callback)
    if kind != BE:
        raise ValueError(
            f"event_register: 'event_type' is {kind!r}: expected TIMER, BE, REG, INT, MEM, SYSCALL,"
            " PROCESS_..., CREDENTIALS, MODULE_LOADED or GUEST_REQUEST"
        )
    _checks.check_keys(event, [])
    if _backend_event is not None:
        raise ValueError('event_register: a callback for the backend is registered already (one at most)')
    _backend_event = _BACKEND_ID

    def deliver(type, content, lost):
        message = BackendMessage(type, content)
        message.lost = lost
        callback(message)

    _furnace.set_backend_callback(deliver)
    return _backend_event


def event_clear(identifier):
    """Removes a registered callback. Returns True. Raises ValueError if there is none with this id."""
    global _backend_event
    if not isinstance(identifier, int):
        raise TypeError(f"event_clear: {identifier!r} is no event's id")
    if identifier == _backend_event and identifier is not None:
        _backend_event = None
        _furnace.set_backend_callback(None)
        return True
    if _events.clear(identifier) or _furnace.remove_timer(identifier):
        return True
    raise ValueError(f'event_clear: no event with id {identifier}')


def start_syscall(callback, sync=ASYNC):
    """Starts system-call tracing: callback(VmEvent) at every entry, rax its number, rdi rsi rdx r10 r8 r9 its
    arguments. Returns its id. Needs no events_start. Raises VmiError if the hypervisor driver has no
    events."""
    return _events.start_syscall(callback, sync)


def stop_syscall(identifier=None):
    """Stops system-call tracing; returns the status."""
    return _events.stop_syscall()


def set_name(name):
    """Names this app in its log lines: 1 to 16 characters of \\w and '-'. Returns whether the name is
    valid.
    """
    if not _checks.is_name(name):
        return False
    _furnace.set_log_name(name)
    return True


def shutdown():
    """Stops the app after the running callback has returned."""
    _furnace.stop_loop()


def exit():
    """Stops the app now: raises SystemExit out of the running callback or constructor."""
    _furnace.stop_loop()
    raise SystemExit
