"""Types of furnace_linux for editors and mypy. A test holds it against the module."""

from typing import Iterable, Iterator, NamedTuple, TypeVar

from furnace_frontend import Struct

Task = TypeVar('Task', int, Struct)

class Module(NamedTuple):
    name: str
    base: int
    size: int
    address: int

class Socket(NamedTuple):
    protocol: str
    local: str
    remote: str
    state: str
    kind: str = ...

class OpenFile(NamedTuple):
    descriptor: int | None
    path: str
    socket: Socket | None
    reason: str = ...

def modules() -> Iterator[Module]: ...
def open_files(task: int | Struct) -> Iterator[OpenFile]: ...
def open_files_of(tasks: Iterable[Task]) -> Iterator[tuple[Task, OpenFile]]: ...
def path_of(file: Struct) -> str: ...
def pid_table() -> dict[int, int]: ...
def printable(text: str) -> str: ...
def socket_of(address: int | Struct) -> Socket: ...
