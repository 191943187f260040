"""What a Linux kernel keeps, read through its own structures: modules, open files, sockets, the table of
pids.
"""

import struct as _struct
from collections import namedtuple

import _furnace
import _furnace_checked as _checked
from _furnace import VmiError
from furnace_files import (  # noqa: F401
    OpenFile,
    Socket,
    open_files,
    open_files_of,
    path_of,
    printable,
    socket_of,
)
from furnace_types import layout, list_of, offset_of, struct

_MAX_NODES, _MAX_SLOTS = 1 << 14, 64  # of a table of a million pids

Module = namedtuple('Module', 'name base size address')
Module.__doc__ = (
    'A loaded kernel module: name, where its code begins, bytes of it in memory, its struct module.'
)


def modules():
    """The loaded modules, the newest first, as Modules. The list of a running guest can change meanwhile."""
    members = layout('module')[1]
    for module in list_of(_checked.lookup_symbol('modules'), 'module', 'list'):
        if (
            'mem' in members
        ):  # Linux 6.4: a part of the memory each for text, data, ...; the first is the text
            parts = module.mem
            yield Module(module.name, int(parts[0].base), sum(part.size for part in parts), int(module))
        else:
            place = module.core_layout
            yield Module(module.name, int(place.base), place.size, int(module))


# The last call of the table in each release that added some (arch/x86/entry/syscalls/syscall_64.tbl).
_LAST_CALLS = (
    (471, 'rseq_slice_yield'),
    (470, 'listns'),
    (469, 'file_setattr'),
    (467, 'open_tree_attr'),
    (466, 'removexattrat'),
    (462, 'mseal'),
    (461, 'lsm_list_modules'),
    (456, 'futex_requeue'),
    (453, 'map_shadow_stack'),
    (452, 'fchmodat2'),
    (451, 'cachestat'),
    (450, 'set_mempolicy_home_node'),
    (449, 'futex_waitv'),
    (448, 'process_mrelease'),
    (447, 'memfd_secret'),
    (446, 'landlock_restrict_self'),
    (443, 'quotactl_fd'),
    (442, 'mount_setattr'),
    (441, 'epoll_pwait2'),
    (440, 'process_madvise'),
    (439, 'faccessat2'),
    (438, 'pidfd_getfd'),
    (435, 'clone3'),
    (434, 'pidfd_open'),
    (433, 'fspick'),
    (427, 'io_uring_register'),
)


def syscall_count():
    """How many entries the kernel's table of system calls has, as far as this module knows its calls."""
    for number, name in _LAST_CALLS:
        if _furnace.lookup_symbol('__x64_sys_' + name):
            return number + 1
    return 335  # up to rseq


def pid_table():
    """The processes by the kernel's table of pids, which finds them for kill() and /proc: {pid: address of
    its task_struct}. A process that only hides from the task list is here. Threads are left out."""
    head = int(struct('pid_namespace', _checked.lookup_symbol('init_pid_ns')).idr.idr_rt.xa_head)
    numbers = offset_of('pid', 'numbers')
    heads = offset_of('pid', 'tasks')
    links = offset_of('task_struct', 'pid_links')
    found = {}
    for entry in _radix_entries(head):
        pid = _checked.read_32_va(entry + numbers, 0)
        for kind in (1, 0):  # PIDTYPE_TGID names processes; kernels before 4.19 have only PIDTYPE_PID
            first = _checked.read_addr_va(entry + heads + 8 * kind, 0)
            if first:
                found[pid] = first - links - 16 * kind
                break
    return {
        pid: task
        for pid, task in found.items()
        if _checked.read_32_va(task + offset_of('task_struct', 'tgid'), 0) == pid
    }


def _radix_entries(head):
    """The pointers in a radix tree (lib/xarray.c): pointers to nodes have the low bits 10."""
    if head & 3 != 2:
        yield from [head] if head else []
        return
    slots = layout('xa_node')[1]['slots']
    waiting, seen = [head], set()
    while waiting:
        node = waiting.pop() & ~3
        if node in seen or len(seen) == _MAX_NODES:
            raise VmiError(f'pid_table: the radix tree has a circle, or no end, after {len(seen)} nodes')
        seen.add(node)
        pointers = _checked.read_va(node + slots['bit_offset'] // 8, 0, 8 * min(slots['count'], _MAX_SLOTS))
        for (slot,) in _struct.iter_unpack('<Q', pointers):
            if slot & 3 == 2:
                waiting.append(slot)
            elif slot:
                yield slot
