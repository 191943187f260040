"""Kernel structures by their types: attribute access to what is in the guest's memory."""

import functools

import _furnace_checked as _checked
from _furnace import VmiError

_INTEGER, _POINTER, _STRUCTURE, _ENUMERATION = 1, 2, 3, 4
_MAX_STRUCTURE = 1 << 20  # bytes read at once
_MAX_LIST = 1 << 17


class Pointer(int):
    """An address that knows what it points to."""

    def __new__(cls, value, type=''):
        pointer = super().__new__(cls, value)
        pointer.type = type
        return pointer

    def deref(self):
        """The structure it points to."""
        if not self.type:
            raise VmiError(f'deref: {int(self):#x} points to no structure')
        return struct(self.type, self)

    def __repr__(self):
        return f'Pointer({int(self):#x}, {self.type!r})'


@functools.lru_cache(maxsize=4096)
def _layout(name):
    description = _checked.describe_structure(name)
    return description['size'], {member.pop('name'): member for member in description['member']}


def layout(name):
    """The layout of a kernel structure: (size in bytes, {member: {'bit_offset', 'bit_size', 'kind', 'size',
    'count', 'is_signed', 'type'}}). VmiError if the kernel has none of that name."""
    return _layout(name)


def offset_of(name, member):
    """The offset of a member in a kernel structure, in bytes. VmiError if the structure has none of that
    name.
    """
    found = layout(name)[1].get(member)
    if found is None:
        raise VmiError(f"structure '{name}' has no member '{member}'")
    return found['bit_offset'] // 8


class Struct:
    """A structure as it was when it was read. Members are attributes: numbers, Pointers, nested Structs, text
    for arrays of char, lists for other arrays. `refresh()` reads it again."""

    __slots__ = ('_name', '_address', '_pid', '_data', '_members')

    def __init__(self, name, address, pid, data):
        self._name, self._address, self._pid, self._data = name, int(address), pid, data
        self._members = _layout(name)[1]

    def __getattr__(self, name):
        member = self._members.get(name)
        if member is None:
            raise AttributeError(f"structure '{self._name}' has no member '{name}'")
        return self._value(member)

    def __dir__(self):
        return [*self._members, *super().__dir__()]

    def __repr__(self):
        return f'<struct {self._name} at {self._address:#x}>'

    def __int__(self):
        return self._address

    __index__ = __int__

    def address_of(self, name):
        """The address of a member."""
        if name not in self._members:
            raise AttributeError(f"structure '{self._name}' has no member '{name}'")
        return self._address + self._members[name]['bit_offset'] // 8

    def held_at(self, address, size):
        """The bytes at an address in the structure, as they were read; None for any other."""
        offset = int(address) - self._address
        return (
            self._data[offset : offset + size] if 0 <= offset and offset + size <= len(self._data) else None
        )

    def refresh(self):
        """Reads the structure again; returns it."""
        self._data = _checked.read_va(self._address, self._pid, len(self._data))
        return self

    def _value(self, member):
        offset = member['bit_offset'] // 8
        if member.get('bit_size'):
            whole = int.from_bytes(self._data[offset : offset + 16], 'little')
            return (whole >> member['bit_offset'] % 8) & ((1 << member['bit_size']) - 1)
        count, size = member.get('count', 0), member.get('size', 0)
        if not count:
            return self._element(member, offset)
        if member['kind'] == _INTEGER and size == 1:
            data = self._data[offset : offset + count]
            return (
                data.split(b'\0')[0].decode('utf-8', 'replace') if 'char' in member.get('type', '') else data
            )
        # The guest says how many there are; the structure that was read holds no more than this.
        held = max(0, len(self._data) - offset) // size if size else 0
        return [self._element(member, offset + i * size) for i in range(min(count, held))]

    def _element(self, member, offset):
        kind, size, type = member['kind'], member.get('size', 0), member.get('type', '')
        if kind == _STRUCTURE and type:
            return Struct(type, self._address + offset, self._pid, self._data[offset : offset + size])
        data = self._data[offset : offset + size]
        if kind in (_INTEGER, _POINTER, _ENUMERATION):
            number = int.from_bytes(
                data, 'little', signed=kind == _INTEGER and member.get('is_signed', False)
            )
            return Pointer(number, type) if kind == _POINTER else number
        return data


def struct(name, address, pid=0):
    """Kernel structure `name` at an address: struct('task_struct', task).comm. Read whole, in one call.
    VmiError if the kernel has no such structure, or the memory is not there."""
    size, _ = layout(name)
    if size > _MAX_STRUCTURE:
        raise VmiError(f"struct: '{name}' has {size} bytes: too large to be read at once")
    return Struct(name, address, pid, _checked.read_va(int(address), pid, size))


def list_of(head, name, member):
    """The structures `name` that hang by their list_head `member` on a list's head: list_of(task.children,
    'task_struct', 'sibling'). The list of a running guest can change meanwhile: VmiError where it does not
    come back to its head.
    """
    head = int(head)
    offset = offset_of(name, member)
    seen = set()
    node = _checked.read_addr_va(head, 0)
    while node != head:
        if node in seen or len(seen) == _MAX_LIST:
            raise VmiError(f'list_of: the list at {head:#x} does not come back after {len(seen)} entries')
        seen.add(node)
        entry = struct(name, node - offset)
        yield entry
        node = int(getattr(entry, member).next)


def tasks():
    """The processes as Structs 'task_struct', the idle task left out. Pause the guest for a list that is
    consistent.
    """
    offset = offset_of('task_struct', 'tasks')
    return list_of(_checked.lookup_symbol('init_task') + offset, 'task_struct', 'tasks')
