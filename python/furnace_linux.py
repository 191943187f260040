"""What a Linux kernel keeps, read through its own structures: modules, open files, sockets, the table of pids."""

import socket as _socket
import struct as _struct
from collections import namedtuple

import _furnace_checked as _checked
from _furnace import VmiError
from furnace_types import layout, list_of, struct

_MAX_FILES = 1 << 16
_MAX_UNREADABLE = 64
_MAX_NODES, _MAX_SLOTS = 1 << 14, 64  # of a table of a million pids
_MAX_PATH_PARTS = 256
_S_IFMT, _S_IFSOCK = 0o170000, 0o140000
_FAMILIES = {1: 'unix', 2: 'tcp/udp', 10: 'tcp6/udp6', 16: 'netlink', 17: 'packet'}
_PROTOCOLS = {6: 'tcp', 17: 'udp', 1: 'icmp', 58: 'icmp6'}
_TCP_STATES = ('', 'ESTABLISHED', 'SYN_SENT', 'SYN_RECV', 'FIN_WAIT1', 'FIN_WAIT2', 'TIME_WAIT', 'CLOSE', 'CLOSE_WAIT',
               'LAST_ACK', 'LISTEN', 'CLOSING')

Module = namedtuple('Module', 'name base size address')
Module.__doc__ = 'A loaded kernel module: name, where its code begins, bytes of it in memory, its struct module.'

OpenFile = namedtuple('OpenFile', 'descriptor path socket')
OpenFile.__doc__ = "An open file of a process: descriptor, path; for sockets 'socket:[inode]' and a Socket, else None."

Socket = namedtuple('Socket', 'protocol local remote state')
Socket.__doc__ = "A socket: 'tcp', 'udp', 'unix', ..., its ends as 'address:port', and the state of a TCP connection."


def modules():
    """The loaded modules, the newest first, as Modules. The list of a running guest can change meanwhile."""
    members = layout('module')[1]
    for module in list_of(_checked.lookup_symbol('modules'), 'module', 'list'):
        if 'mem' in members:  # Linux 6.4: a part of the memory each for text, data, ...; the first is the text
            parts = module.mem
            yield Module(module.name, int(parts[0].base), sum(part.size for part in parts), int(module))
        else:
            place = module.core_layout
            yield Module(module.name, int(place.base), place.size, int(module))


def path_of(file):
    """The path of a `struct file`, across mount points; of a file that lies on no mounted path, its name alone."""
    dentry, mount = int(file.f_path.dentry), int(file.f_path.mnt)
    mount_offset = layout('mount')[1]['mnt']['bit_offset'] // 8
    parts = []
    for _ in range(_MAX_PATH_PARTS):
        if dentry == int(struct('vfsmount', mount).mnt_root):
            above = struct('mount', mount - mount_offset)
            if int(above.mnt_parent) == int(above):
                return '/' + '/'.join(reversed(parts))
            dentry, mount = int(above.mnt_mountpoint), int(above.mnt_parent) + mount_offset
            continue
        entry = struct('dentry', dentry)
        name = _checked.read_str_va(int(entry.d_name.name), 0)
        if int(entry.d_parent) == dentry:
            return '/'.join(reversed(parts)) or name
        parts.append(name)
        dentry = int(entry.d_parent)
    raise VmiError(f'path_of: a path of more than {_MAX_PATH_PARTS} parts')


def socket_of(address):
    """The Socket at a `struct socket`."""
    sock = struct('sock', struct('socket', address).sk)
    common = sock.__getattr__('__sk_common')
    family = common.skc_family
    if family not in (2, 10):
        return Socket(_FAMILIES.get(family, f'family {family}'), '', '', '')
    protocol = _PROTOCOLS.get(sock.sk_protocol, str(sock.sk_protocol)) + ('6' if family == 10 else '')
    if family == 2:
        local, remote = (_socket.inet_ntop(_socket.AF_INET, _struct.pack('<I', value))
                         for value in (common.skc_rcv_saddr, common.skc_daddr))
    else:
        local, remote = (_socket.inet_ntop(_socket.AF_INET6, _checked.read_va(common.address_of(name), 0, 16))
                         for name in ('skc_v6_rcv_saddr', 'skc_v6_daddr'))
    state = common.skc_state
    return Socket(protocol, f'{local}:{common.skc_num}', f'{remote}:{_socket.ntohs(common.skc_dport)}',
                  _TCP_STATES[state] if protocol.startswith('tcp') and state < len(_TCP_STATES) else '')


def open_files(task):
    """The open files of a task (a Struct 'task_struct') as OpenFiles. What can't be read has the path '?'; VmiError for a
    table that holds little else."""
    if not task.files:
        return
    table = task.files.deref().fdt.deref()
    count = min(table.max_fds, _MAX_FILES)
    pointers = _checked.read_va(int(table.fd), 0, 8 * count) if count else b''
    unreadable = 0
    for descriptor, (address,) in enumerate(_struct.iter_unpack('<Q', pointers)):
        if not address:
            continue
        try:
            file = struct('file', address)
            inode = struct('inode', file.f_inode)
            if inode.i_mode & _S_IFMT == _S_IFSOCK:
                yield OpenFile(descriptor, f'socket:[{inode.i_ino}]', socket_of(file.private_data))
            else:
                yield OpenFile(descriptor, path_of(file), None)
        except VmiError:
            unreadable += 1
            if unreadable > _MAX_UNREADABLE:
                raise VmiError(f'open_files: more than {_MAX_UNREADABLE} entries of the table can not be read: it is damaged') from None
            yield OpenFile(descriptor, '?', None)


def pid_table():
    """The processes by the kernel's table of pids, which finds them for kill() and /proc: {pid: address of its
    task_struct}. A process that only hides from the task list is here. Threads are left out."""
    head = int(struct('pid_namespace', _checked.lookup_symbol('init_pid_ns')).idr.idr_rt.xa_head)
    numbers = layout('pid')[1]['numbers']['bit_offset'] // 8
    heads = layout('pid')[1]['tasks']['bit_offset'] // 8
    links = layout('task_struct')[1]['pid_links']['bit_offset'] // 8
    found = {}
    for entry in _radix_entries(head):
        pid = _checked.read_32_va(entry + numbers, 0)
        for kind in (1, 0):  # PIDTYPE_TGID names processes; kernels before 4.19 have PIDTYPE_PID alone
            first = _checked.read_addr_va(entry + heads + 8 * kind, 0)
            if first:
                found[pid] = first - links - 16 * kind
                break
    return {pid: task for pid, task in found.items()
            if _checked.read_32_va(task + layout('task_struct')[1]['tgid']['bit_offset'] // 8, 0) == pid}


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
