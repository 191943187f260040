"""Open files and sockets of a Linux guest, named as its own /proc/PID/fd names them."""

import socket as _socket
from collections import Counter, namedtuple

import _furnace_checked as _checked
from _furnace import VmiError
from furnace_batch import batch
from furnace_types import offset_of
from furnace_walks import Reader, read, read_number, read_struct, run

_MAX_FILES = 1 << 20  # in a table: fs/file.c, sysctl_nr_open
_MAX_LISTED = 1 << 22  # in all tables of one call
_MAX_UNREADABLE = 64  # in a table
_MAX_THREADS = 64  # that have ended, before one that has not
_MAX_PARTS, _MAX_PATH = 2048, 1 << 13  # of a path; the kernel itself makes none of more than 4096 bytes
_MAX_NAME = 4096
_TABLES_AT_ONCE, _ROOM_AT_ONCE, _FILES_AT_ONCE = 256, 1 << 16, 4096
_PART = 512  # descriptors of a table that are read at once

_FAMILIES = {
    1: 'unix',
    2: 'inet',
    10: 'inet6',
    15: 'key',
    16: 'netlink',
    17: 'packet',
    29: 'can',
    31: 'bluetooth',
    38: 'alg',
    40: 'vsock',
    44: 'xdp',
}
_PROTOCOLS = {1: 'icmp', 6: 'tcp', 17: 'udp', 58: 'icmp6', 132: 'sctp', 136: 'udplite', 262: 'mptcp'}
_KINDS = {1: 'stream', 2: 'dgram', 3: 'raw', 4: 'rdm', 5: 'seqpacket', 10: 'packet'}
_STATES = (
    '',
    'ESTABLISHED',
    'SYN_SENT',
    'SYN_RECV',
    'FIN_WAIT1',
    'FIN_WAIT2',
    'TIME_WAIT',
    'CLOSE',
    'CLOSE_WAIT',
    'LAST_ACK',
    'LISTEN',
    'CLOSING',
    'NEW_SYN_RECV',
)  # include/net/tcp_states.h

OpenFile = namedtuple('OpenFile', 'descriptor path socket reason', defaults=('',))
OpenFile.__doc__ = """An open file of a process: its descriptor; its path, as readlink of /proc/PID/fd/N
prints it; a Socket for sockets, else None; and the reason why something of it can't be read, '' when all
could. The path is '?' where it is the path that can't, the descriptor None where it is the process's table. A
byte that is no UTF-8 is a surrogate."""

Socket = namedtuple('Socket', 'protocol local remote state kind', defaults=('',))
Socket.__doc__ = """A socket: 'tcp', 'udp6', 'unix', 'netlink', ...; its ends as 'address:port' (of a UNIX
socket the path that it is bound to, or '@' and its abstract name); its state, such as 'LISTEN'; 'stream',
'dgram', 'raw', ..."""

_Part = namedtuple('_Part', 'task address first room told', defaults=(0, 0, 0, None))
_Part.__doc__ = """A part of a task's table: the address of its pointers, its first descriptor, how many it
has room for; or instead an OpenFile to report."""


def open_files(task):
    """Yields the open files of a task (a Struct 'task_struct', or its address) as OpenFiles."""
    return (file for _, file in open_files_of([task]))


def open_files_of(tasks):
    """Yields (task, OpenFile) for all open files of many tasks, in the order of the tasks, read in few
    messages. A file that can't be read, or the rest of a table, is an OpenFile with the reason. VmiError for
    more than 4 million."""
    reader, makers = Reader(), _makers()
    unreadable, listed = Counter(), 0
    for parts in _groups(_parts_of(reader, tasks)):
        parts = [part for part in parts if unreadable[part.task] <= _MAX_UNREADABLE]
        for task, file in _files_in(reader, makers, parts):
            if unreadable[task] > _MAX_UNREADABLE:
                continue
            unreadable[task] += file.path == '?'
            if unreadable[task] > _MAX_UNREADABLE:
                file = _unread_table(f'over {_MAX_UNREADABLE} files are unreadable: the table is damaged')
            yield task, file
            listed += 1
            if listed == _MAX_LISTED:
                raise VmiError(f'open_files_of: more than {_MAX_LISTED} open files')


def path_of(file):
    """The path of a `struct file`, across mount points, as /proc/PID/fd shows it; for what is in no
    directory, the kernel's name for it: 'pipe:[4711]'."""
    path, _ = run(_name_of(file, _makers()))
    return path


def socket_of(address):
    """The Socket at a `struct socket`."""
    return run(_socket_at(address))


def printable(text):
    """A text for a terminal: what controls one, or is no UTF-8, is escaped as in Python; so is the
    backslash."""
    return ''.join(c if c.isprintable() and c != '\\' else _escaped(c) for c in text)


def _escaped(character):
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8
        return f'\\x{code - 0xdc00:02x}'
    if 0x80 <= code <= 0xFF:  # Python's own escape looks like that of a byte
        return f'\\u{code:04x}'
    return character.encode('unicode_escape').decode()


# Tables of descriptors


def _parts_of(reader, tasks):
    """Yields the _Parts of the tables of tasks: those with a bit in the bitmap of what is open, and the first
    one, in which a file that hides from the bitmap is found too."""
    tasks = list(tasks)
    for start in range(0, len(tasks), _TABLES_AT_ONCE):
        some = tasks[start : start + _TABLES_AT_ONCE]
        for task, table in zip(some, reader.run(map(_table, some))):
            if isinstance(table, VmiError):
                yield _Part(task, told=_unread_table(str(table)))
                continue
            pointers, bits, room = table
            for first in range(0, min(room, _MAX_FILES), _PART):
                if first == 0 or any(bits[first // 8 : (first + _PART) // 8]):
                    yield _Part(task, pointers + 8 * first, first, min(room - first, _PART))
            if room > _MAX_FILES:
                reason = f'a table for {room} files: those from {_MAX_FILES} on are not read'
                yield _Part(task, told=_unread_table(reason))


def _table(task):
    """A walk to a task's table; returns (address of its pointers, the bitmap of those in use, how many it has
    room for)."""
    files = yield from _files_of(int(task))
    if not files:
        return 0, b'', 0
    table = yield from read_number(files + offset_of('files_struct', 'fdt'))
    table = yield from read_struct('fdtable', table)
    room, bits = table.max_fds, b''
    if room > _PART:
        bits = yield from read(table.open_fds, -(-min(room, _MAX_FILES) // 8))
    return int(table.fd), bits, room


def _files_of(task):
    """A walk to the files_struct of a process: its first thread's, or, where that has ended, of one that goes
    on; 0 where all have ended."""
    at = offset_of('task_struct', 'files')
    files = yield from read_number(task + at)
    if files:
        return files
    link = offset_of('task_struct', 'thread_node')
    signal = yield from read_number(task + offset_of('task_struct', 'signal'))
    head = signal + offset_of('signal_struct', 'thread_head')
    node = (yield from read_number(head)) if signal else head
    for _ in range(_MAX_THREADS):
        if node == head:
            return 0
        files = yield from read_number(node - link + at)
        if files:
            return files
        node = yield from read_number(node)
    raise VmiError(f'the first thread has ended, and {_MAX_THREADS} others')


def _groups(parts):
    """Yields lists of parts that are worth some messages."""
    group, room = [], 0
    for part in parts:
        group.append(part)
        room += part.room
        if room >= _ROOM_AT_ONCE:
            yield group
            group, room = [], 0
    yield group


def _files_in(reader, makers, parts):
    """Yields (task, OpenFile) for what is in parts of tables. A file that many share is looked at once."""
    found = list(_pointers_in(reader, parts))
    for start in range(0, len(found), _FILES_AT_ONCE):
        some = found[start : start + _FILES_AT_ONCE]
        distinct = list(dict.fromkeys(address for _, _, address, told in some if not told))
        named = dict(zip(distinct, reader.run(_file(address, makers) for address in distinct)))
        for task, descriptor, address, told in some:
            yield task, told or _open_file(descriptor, named[address])


def _pointers_in(reader, parts):
    """Yields (task, descriptor, address of its struct file, None), or (task, 0, 0, OpenFile that is to be
    told)."""
    told = iter(reader.run(read(part.address, 8 * part.room) for part in parts if not part.told))
    for part in parts:
        data = part.told or next(told)
        if isinstance(data, bytes):
            for index, address in enumerate(memoryview(data).cast('Q')):
                if address:
                    yield part.task, part.first + index, address, None
        else:
            yield part.task, 0, 0, part.told or _unread_table(str(data))


def _unread_table(reason):
    return OpenFile(None, '?', None, reason)


def _open_file(descriptor, result):
    if isinstance(result, VmiError):
        return OpenFile(descriptor, '?', None, str(result))
    return OpenFile(descriptor, *result)


# Names


def _file(address, makers):
    """A walk to an open file; returns its path, its Socket or None, and why the socket can't be read, if
    so."""
    file = yield from read_struct('file', address)
    path, maker = yield from _name_of(file, makers)
    if maker is not _socket_name:
        return path, None, ''
    try:
        return path, (yield from _socket_at(file.private_data)), ''
    except VmiError as error:
        return path, None, f'socket: {error}'


def _name_of(file, makers):
    """A walk to the name of a Struct 'file', as fs/d_path.c makes it; returns it and what made it, None for a
    path."""
    place = file.f_path
    entry = yield from read_struct('dentry', place.dentry)
    mount = yield from read_struct('mount', place.mnt - offset_of('mount', 'mnt'))
    is_root = int(entry.d_parent) == int(entry)
    if entry.d_op and not (is_root and int(mount.mnt.mnt_root) == int(entry)):
        function = yield from read_number(int(entry.d_op) + offset_of('dentry_operations', 'd_dname'))
        if function:
            maker = makers.get(function)
            if maker is None:
                raise VmiError(f'a function of the kernel at {function:#x} makes its name')
            return (yield from maker(entry)), maker
    mark = '' if is_root or entry.d_hash.pprev else ' (deleted)'
    return (yield from _path(entry, mount)) + mark, None


def _path(entry, mount):
    """A walk up from a Struct 'dentry' in a Struct 'mount', to the global root or the top of what is detached
    from it."""
    names, seen, size = [], set(), 0
    root = mount.mnt.mnt_root
    while True:
        here, above = (int(entry), int(mount)), entry.d_parent
        if here in seen or len(seen) == _MAX_PARTS or size > _MAX_PATH:
            raise VmiError(f'its path has a circle, or no end, after {len(seen)} parts')
        seen.add(here)
        if int(entry) == root:
            if int(mount.mnt_parent) == int(mount):
                return '/' + '/'.join(reversed(names))
            entry = yield from read_struct('dentry', mount.mnt_mountpoint)
            mount = yield from read_struct('mount', mount.mnt_parent)
            root = mount.mnt.mnt_root
        elif above == int(entry):
            return '/'  # its directory was moved out of the part of the file system that is mounted
        else:
            names.append((yield from _name(entry)))
            size += len(names[-1])
            entry = yield from read_struct('dentry', above)


def _name(entry):
    """A walk to the name of a Struct 'dentry'; a short one is in it."""
    name = entry.d_name
    size, address = name.len, name.name
    if size > _MAX_NAME:
        raise VmiError(f'a name of {size} bytes')
    name = entry.held_at(address, size)
    if name is None:
        name = yield from read(address, size)
    return _text(name)


def _text(name):
    return name.split(b'\0')[0].decode('utf-8', 'surrogateescape')


def _inode_number(entry):
    return (yield from read_number(int(entry.d_inode) + offset_of('inode', 'i_ino')))


def _pipe_name(entry):
    return f'pipe:[{yield from _inode_number(entry)}]'


def _socket_name(entry):
    return f'socket:[{yield from _inode_number(entry)}]'


def _anonymous_name(entry):
    return 'anon_inode:' + (yield from _name(entry))


def _unlinked_name(entry):
    return f'/{yield from _name(entry)} (deleted)'


def _process_name(entry):
    yield from ()
    return 'anon_inode:[pidfd]'


def _namespace_name(entry):
    namespace = yield from read_number(int(entry.d_inode) + offset_of('inode', 'i_private'))
    operations = yield from read_number(namespace + offset_of('ns_common', 'ops'))
    name = yield from read((yield from read_number(operations + offset_of('proc_ns_operations', 'name'))), 32)
    return f'{_text(name)}:[{yield from _inode_number(entry)}]'


_NAME_MAKERS = {
    'pipefs_dname': _pipe_name,
    'sockfs_dname': _socket_name,
    'ns_dname': _namespace_name,
    'anon_inodefs_dname': _anonymous_name,
    'pidfs_dname': _process_name,
    'simple_dname': _unlinked_name,
}


def _makers():
    """The kernel's functions that make names of what is in no directory: {address: walk to the name}."""
    found = batch(
        [{'type': 'LOOKUP_SYMBOL', 'label': name, 'args': {'symbol_name': name}} for name in _NAME_MAKERS]
    )
    return {answer['result']: _NAME_MAKERS[name] for name, answer in found.items() if answer.get('result')}


# Sockets


def _socket_at(address):
    """A walk to the Socket at a `struct socket`."""
    sock = yield from read_struct('sock', (yield from read_number(int(address) + offset_of('socket', 'sk'))))
    common = getattr(sock, '__sk_common')
    family, kind = common.skc_family, _KINDS.get(sock.sk_type, f'type {sock.sk_type}')
    protocol, state = _FAMILIES.get(family, f'family {family}'), ''
    local = remote = ''
    if protocol in ('inet', 'inet6'):
        number = sock.sk_protocol
        version = '6' if protocol == 'inet6' and number != 58 else ''
        protocol = _PROTOCOLS.get(number, f'ip {number}') + version
        local, remote = _internet_ends(common)
    elif protocol == 'unix':
        local = yield from _unix_name(sock)
    if kind in ('stream', 'seqpacket') and common.skc_state < len(_STATES):
        state = _STATES[common.skc_state]
    return Socket(protocol, local, remote, state, kind)


def _internet_ends(common):
    """Both ends of a Struct 'sock_common' of IPv4 or IPv6."""
    ports = common.skc_num, _socket.ntohs(common.skc_dport)
    if common.skc_family == 2:
        addresses = [
            _socket.inet_ntop(_socket.AF_INET, value.to_bytes(4, 'little'))
            for value in (common.skc_rcv_saddr, common.skc_daddr)
        ]
    else:
        addresses = [
            f'[{_socket.inet_ntop(_socket.AF_INET6, common.held_at(common.address_of(name), 16))}]'
            for name in ('skc_v6_rcv_saddr', 'skc_v6_daddr')
        ]
    return [f'{address}:{port}' for address, port in zip(addresses, ports)]


def _unix_name(sock):
    """A walk to the name that a UNIX socket is bound to, as /proc/net/unix shows it."""
    address = yield from read_number(int(sock) + offset_of('unix_sock', 'addr'))
    if not address:
        return ''
    size = yield from read_number(address + offset_of('unix_address', 'len'), 4)
    if not 2 < size <= 2 + 108 + 1:  # of a struct sockaddr_un, whose path may have its NUL after it
        return ''
    name = yield from read(address + offset_of('unix_address', 'name') + 2, size - 2)
    if name[0]:
        return _text(name)
    return '@' + _text(name[1:].replace(b'\0', b'@'))
