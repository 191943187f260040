"""Types of furnace_linux for editors and mypy. A test holds it against the module."""

from typing import Iterable, Iterator, NamedTuple, TypeVar

from furnace_frontend import Struct

Task = TypeVar('Task', int, Struct)

class Module(NamedTuple):
    """A loaded kernel module. base: where its code begins; size: its bytes in memory; address: of its struct
    module. Addresses are the kernel's virtual ones."""
    name: str
    base: int
    size: int
    address: int

class Socket(NamedTuple):
    """A socket. protocol: 'tcp', 'udp6', 'unix', 'netlink', ...; local and remote: 'address:port', or the
    path of a UNIX socket, '' if there is none; state: such as 'LISTEN'; kind: 'stream', 'dgram', 'raw',
    ..."""
    protocol: str
    local: str
    remote: str
    state: str
    kind: str = ...

class OpenFile(NamedTuple):
    """An open file of a process. descriptor: None if reason says why a part of its table was not read; path:
    what readlink of /proc/PID/fd/N prints in the guest; reason: why something of it could not be read, else
    ''."""
    descriptor: int | None
    path: str
    socket: Socket | None
    reason: str = ...

def modules() -> Iterator[Module]:
    """Yields the loaded modules, the newest first. Raises VmiError if the list can't be read."""
def open_files(task: int | Struct) -> Iterator[OpenFile]:
    """Yields the open files of a task: a Struct 'task_struct', or its address."""
def open_files_of(tasks: Iterable[Task]) -> Iterator[tuple[Task, OpenFile]]:
    """Yields (task, OpenFile) for all open files of many tasks, in their order, read in few messages."""
def path_of(file: Struct) -> str:
    """Returns the path of a `struct file` across mount points, as /proc/PID/fd shows it. Raises VmiError."""
def pid_table() -> dict[int, int]:
    """Returns {pid: address of its task_struct} by the kernel's table of pids, without threads. Raises
    VmiError.
    """
def printable(text: str) -> str:
    """Returns the text with everything escaped that would act on a terminal or is not UTF-8."""
def syscall_count() -> int:
    """Returns how many entries the kernel's table of system calls (sys_call_table) has: up to the newest of
    the calls known here which the kernel has."""
def socket_of(address: int | Struct) -> Socket:
    """Returns the Socket at a `struct socket`. Raises VmiError if it can't be read."""
