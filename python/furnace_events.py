"""Events of the VM: registered at the VMI partition, their callbacks called here."""

from collections import namedtuple

import _furnace
import _furnace_checked as _checked
from furnace_checks import check_keys as _check_keys
from furnace_constants import (
    ASYNC,
    CR3,
    CREDENTIALS,
    GUEST_REQUEST,
    INT,
    MEM,
    MODULE_LOADED,
    PROCESS_CREATED,
    PROCESS_EXECUTED,
    PROCESS_EXITED,
    REG,
    SYNC,
    SYSCALL,
    SYSCALL_PLUGIN,
)

_BASE = 'type identifier cr3 rip rbp rsp rdi rsi rdx rax vcpu uid procname pid ppid'


class VmEvent(namedtuple('VmEvent', _BASE)):
    """An event of the VM: its kind (REG, INT, ...), its id, registers of the vCPU it happened on, and the
    process that ran: uid, procname, pid, ppid. `_asdict()` makes a dict of it.

    Beside the tuple it has the attributes tid (the thread that ran), old_cr3 (of REG; None where it is not
    known), lost (events before it for which this app's queue was full) and timed_out (SYNC events before it
    that took too long).
    """

    tid = lost = timed_out = 0
    old_cr3 = gpa = None


class SyscallEvent(
    namedtuple('SyscallEvent', _BASE + ' r10 r8 r9 number name arguments is_return return_value'), VmEvent
):
    """A system call: its number and name, and `arguments` by name: ints, but paths as text where they could
    be read; as many as it has, of one that is not known 'arg0' to 'arg5'. At its return (`is_return`)
    `return_value` is what the process gets."""


class MemoryEvent(namedtuple('MemoryEvent', _BASE + ' address access old_value new_value'), VmEvent):
    """An access to memory: what a VmEvent has, the address, 'r', 'w' or 'x', and for writes of up to 8 bytes
    the value before and after (None where it is not known)."""


class ProcessEvent(
    namedtuple('ProcessEvent', _BASE + ' subject_pid subject_ppid subject_name path exit_status'), VmEvent
):
    """A process was created, executed a program or ended: `subject_*`. At a creation the VmEvent's process is
    the parent.
    path: of the program executed; exit_status: as wait(2) gives it (None before the end)."""


class CredentialsEvent(
    namedtuple(
        'CredentialsEvent', _BASE + ' old_uid new_uid old_euid new_euid old_capabilities new_capabilities'
    ),
    VmEvent,
):
    """The process gets other credentials: real and effective user id, and effective capabilities (bits),
    before and after.
    """


class ModuleEvent(namedtuple('ModuleEvent', _BASE + ' module address'), VmEvent):
    """A kernel module is about to run its init function: its name, and the address of its struct module."""


_ACCESS = {'r': 1, 'w': 2, 'x': 4}
_SYNC_STATE = {SYNC: 1, ASYNC: 2}
_FORMS = {
    REG: VmEvent,
    INT: VmEvent,
    MEM: MemoryEvent,
    SYSCALL: SyscallEvent,
    SYSCALL_PLUGIN: SyscallEvent,
    PROCESS_CREATED: ProcessEvent,
    PROCESS_EXECUTED: ProcessEvent,
    PROCESS_EXITED: ProcessEvent,
    CREDENTIALS: CredentialsEvent,
    MODULE_LOADED: ModuleEvent,
    GUEST_REQUEST: VmEvent,
}
_WIRE_TYPE = {REG: 1, MEM: 2, INT: 3}  # the others are the same numbers on the wire
_TEXTS = {'procname', 'name', 'subject_name', 'path', 'module'}
_UNKNOWN = {'old_value', 'new_value', 'exit_status', 'return_value'}  # None where the event doesn't tell
_WIRE_NAMES = {'path': 'text', 'module': 'text'}
KINDS = tuple(kind for kind in _FORMS if kind != SYSCALL_PLUGIN)

_registered = {}  # id -> (kind, callback, on_end, losses of the connection before it)


def _sync_state(sync, call='event_register'):
    if not isinstance(sync, int) or sync not in _SYNC_STATE:
        raise ValueError(f"{call}: 'sync' is {sync!r}: expected SYNC or ASYNC")
    return _SYNC_STATE[sync]


def _number(event, key, default=0):
    value = event.get(key, default)
    if value is None:
        raise ValueError(f"event_register: {key!r} is missing")
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"event_register: {key!r} is {value!r}, not a number")
    return value


def _memory_fields(event):
    letters = event.get('access', 'w')
    if 'gpa' in event and ('addr' in event or 'pid' in event):
        raise ValueError("event_register: 'gpa' goes without 'addr' and without 'pid'")
    if not isinstance(letters, str) or not letters or set(letters) - set(_ACCESS):
        raise ValueError(f"event_register: 'access' is {letters!r}: expected letters of 'rwx'")
    place = {'gpa': _number(event, 'gpa')} if 'gpa' in event else {'gva': _number(event, 'addr', None)}
    return place | {
        'length': _number(event, 'length', 8),
        'access': sum(_ACCESS[letter] for letter in set(letters)),
    }


def _syscall_fields(event):
    returns = event.get('returns', False)
    if not isinstance(returns, (bool, int)):
        raise ValueError(f"event_register: 'returns' is {returns!r}: expected True or False")
    fields = {'returns': int(bool(returns))}
    wanted = event.get('number')
    if isinstance(wanted, str):
        fields['bp_name'] = wanted
    elif wanted is not None:
        fields['number'] = _number(event, 'number')
    return fields


def _register_fields(event):
    if event.get('reg_type', CR3) != CR3:
        raise ValueError(f"event_register: 'reg_type' is {event['reg_type']!r}: only CR3 can be watched")
    return {'reg_value': 1}


_FILTERS = ('pid', 'uid', 'on_end')
_KEYS = {
    REG: ('reg_type', *_FILTERS),
    INT: ('bp_addr', 'bp_pid', 'bp_name', 'uid', 'on_end'),
    MEM: ('addr', 'gpa', 'length', 'access', *_FILTERS),
    SYSCALL: ('number', 'returns', *_FILTERS),
}

_FIELDS = {
    REG: _register_fields,
    MEM: _memory_fields,
    SYSCALL: _syscall_fields,
    INT: lambda event: {'bp_addr': _number(event, 'bp_addr', None)},
}


def register(event, callback):
    """Registers an event of the VM from its description; returns its id."""
    kind = event['event_type']
    _check_keys(event, _KEYS.get(kind, _FILTERS))
    if event.get('on_end') is not None and not callable(event['on_end']):
        raise TypeError(f"event_register: 'on_end' is {event['on_end']!r}, not a function")
    fields = {
        'event_type': _WIRE_TYPE.get(kind, kind),
        'sync_state': _sync_state(event.get('sync', ASYNC)),
        'notices': 1,
        'gathers': 1,
    }
    fields.update(_FIELDS.get(kind, lambda event: {})(event))
    fields['bp_pid'] = _number(event, 'bp_pid' if kind == INT else 'pid')
    if event.get('uid') is not None:
        fields['uid'] = _number(event, 'uid')
    identifier = _checked.event_register(**fields)
    _keep(identifier, kind, callback, event.get('on_end'))
    return identifier


def _keep(identifier, kind, callback, on_end):
    if identifier in _registered:  # of a VMI partition before this one
        _end(identifier, 'the VMI partition was started again')
    _registered[identifier] = kind, callback, on_end, _furnace.vmi_losses()


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
    identifier = _checked.start_syscall(_sync_state(sync, 'start_syscall'))
    _keep(identifier, SYSCALL_PLUGIN, callback, None)
    return identifier


def stop_syscall():
    status = _furnace.stop_syscall()
    for identifier, (kind, *_) in list(_registered.items()):
        if kind == SYSCALL_PLUGIN:
            del _registered[identifier]
    return status


def _values(form, kind, fields):
    """The values of a form's fields, in order, out of the message's."""
    details = fields.get('syscall', {})
    for name in form._fields:
        if name == 'type':
            yield kind
        elif name == 'access':
            yield ''.join(letter for letter, bit in _ACCESS.items() if fields.get('access', 0) & bit)
        elif name == 'arguments':
            yield {each['name']: each.get('text', each['value']) for each in details.get('argument', ())}
        elif name in ('number', 'name', 'is_return', 'return_value'):
            yield details.get(name, {'name': '', 'is_return': False, 'number': 0}.get(name))
        else:
            missing = '' if name in _TEXTS else None if name in _UNKNOWN else 0
            yield fields.get(_WIRE_NAMES.get(name, name), missing)


def _end(identifier, reason):
    _, _, on_end, _ = _registered.pop(identifier)
    _furnace.log(f'event {identifier} has ended: {reason}')
    if on_end is not None:
        on_end(reason)


def _deliver(fields):
    identifier = fields.get('identifier')
    registered = _registered.get(identifier)
    if registered is None:  # cleared while it was on its way
        if fields.get('guest_paused'):
            _furnace.resume_vm()
        return
    if 'ended' in fields:
        return _end(identifier, fields['ended'])
    kind, callback, *_ = registered
    form = _FORMS[kind]
    event = form._make(_values(form, kind, fields))
    for name in ('tid', 'lost', 'timed_out', 'old_cr3', 'gpa'):
        if name in fields:
            setattr(event, name, fields[name])
    try:
        callback(event)
    finally:
        if fields.get('guest_paused'):
            _furnace.resume_vm()


def _vmi_again(reason):
    losses = _furnace.vmi_losses()
    for identifier, (_, _, _, before) in list(_registered.items()):
        if before != losses and identifier in _registered:
            _end(identifier, reason)


_furnace.set_event_callback(_deliver)
_furnace.set_vmi_again_callback(_vmi_again)
