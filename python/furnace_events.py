"""Events of the VM: registered at the VMI partition, their callbacks called here."""

from collections import namedtuple

import _furnace
import _furnace_checked as _checked
from furnace_constants import ASYNC, CR3, INT, MEM, REG, SYNC, SYSCALL_PLUGIN

VmEvent = namedtuple('VmEvent', 'type identifier cr3 rip rbp rsp rdi rsi rdx rax vcpu uid procname pid ppid')
VmEvent.__doc__ = """An event of the VM: kind (REG, INT, SYSCALL_PLUGIN), its id, registers of the vCPU it happened on, and the
process that ran: uid, procname, pid, ppid. `_asdict()` makes a dict of it."""

SyscallEvent = namedtuple('SyscallEvent', VmEvent._fields + ('r10', 'r8', 'r9'))
MemoryEvent = namedtuple('MemoryEvent', VmEvent._fields + ('address', 'access', 'old_value', 'new_value'))
MemoryEvent.__doc__ = """An access to memory: what a VmEvent has, the address, 'r', 'w' or 'x', and for writes of up to 8 bytes
the value before and after (None where it is not known)."""

_TEXTS = {'procname'}
_ACCESS = {'r': 1, 'w': 2, 'x': 4}
_SYNC_STATE = {SYNC: 1, ASYNC: 2}
KINDS = (REG, INT, MEM)

_registered = {}  # id -> (kind, sync, callback)


def _sync_state(sync):
    if sync not in _SYNC_STATE:
        raise ValueError(f"event_register: 'sync' is {sync!r}: expected SYNC or ASYNC")
    return _SYNC_STATE[sync]


def register(event, callback):
    """Registers an event of the VM from its description; returns its id."""
    kind, sync = event['event_type'], event.get('sync', ASYNC)
    state = _sync_state(sync)
    if kind == REG:
        if event.get('reg_type', CR3) != CR3:
            raise ValueError(f"event_register: 'reg_type' is {event['reg_type']!r}: only CR3 can be watched")
        identifier = _checked.event_register(event_type=1, sync_state=state, reg_value=1)
    elif kind == INT:
        if not isinstance(event.get('bp_addr'), int):
            raise ValueError(f"event_register: 'bp_addr' is {event.get('bp_addr')!r}, not an address")
        identifier = _checked.event_register(event_type=3, sync_state=state, bp_addr=event['bp_addr'], bp_pid=event.get('bp_pid', 0))
    else:
        letters = event.get('access', 'w')
        if not letters or set(letters) - set(_ACCESS):
            raise ValueError(f"event_register: 'access' is {letters!r}: expected letters of 'rwx'")
        if not isinstance(event.get('addr'), int):
            raise ValueError(f"event_register: 'addr' is {event.get('addr')!r}, not an address")
        identifier = _checked.event_register(event_type=2, sync_state=state, gva=event['addr'], length=event.get('length', 8),
                                             access=sum(_ACCESS[letter] for letter in set(letters)), bp_pid=event.get('pid', 0))
    _registered[identifier] = kind, sync, callback
    return identifier


def clear(identifier):
    """Removes an event of the VM; False if there is none with this id."""
    if identifier not in _registered:
        return False
    _checked.event_clear(identifier)
    del _registered[identifier]
    return True


def start_syscall(callback, sync):
    if not callable(callback):
        raise TypeError(f'start_syscall: callback is {callback!r}, not a function')
    identifier = _checked.start_syscall(_sync_state(sync))
    _registered[identifier] = SYSCALL_PLUGIN, sync, callback
    return identifier


def stop_syscall():
    status = _furnace.stop_syscall()
    for identifier, (kind, _, _) in list(_registered.items()):
        if kind == SYSCALL_PLUGIN:
            del _registered[identifier]
    return status


def _deliver(fields):
    registered = _registered.get(fields.get('identifier'))
    if registered is None:  # cleared while it was on its way
        if fields.get('guest_paused'):
            _furnace.resume_vm()
        return
    kind, _, callback = registered
    form = {MEM: MemoryEvent, SYSCALL_PLUGIN: SyscallEvent}.get(kind, VmEvent)
    values = {name: fields.get(name, '' if name in _TEXTS else 0) for name in VmEvent._fields}
    values['type'] = kind
    if form is SyscallEvent:
        values.update({name: fields.get(name, 0) for name in ('r10', 'r8', 'r9')})
    if form is MemoryEvent:
        access = fields.get('access', 0)
        values.update(address=fields.get('address', 0), access=''.join(k for k, bit in _ACCESS.items() if access & bit),
                      old_value=fields.get('old_value'), new_value=fields.get('new_value'))
    try:
        callback(form(**values))
    finally:
        if fields.get('guest_paused'):
            _furnace.resume_vm()


_furnace.set_event_callback(_deliver)
