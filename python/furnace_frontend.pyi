"""Types of furnace_frontend (and fe) for editors and mypy. A test holds it against the module."""

from typing import Any, Callable, Iterable, Iterator, NamedTuple, TypedDict

VMI_SUCCESS: int
VMI_FAILURE: int
CR3: int
CR4: int
REG: int
INT: int
MEM: int
TIMER: int
BE: int
FE: int
SYSCALL_PLUGIN: int
SYSCALL: int
PROCESS_CREATED: int
PROCESS_EXECUTED: int
PROCESS_EXITED: int
CREDENTIALS: int
MODULE_LOADED: int
GUEST_REQUEST: int
ACTIVE: int
INACTIVE: int
SYNC: int
ASYNC: int
PUBSUB: int
KERNEL: int
F_ADD: int
ADD: int
F_SUB: int
SUB: int
F_OVERWRITE: int
OVERWRITE: int
MAX_FIELD_SIZE: int

class VmiError(RuntimeError):
    """A call failed. The text names the call, its arguments and the reason. Its class and its code say which
    kind of failure it is: 'failed', or the code of one of the classes below. Texts may change; classes and
    codes don't."""

    code: str

class Invalid(VmiError):
    """An argument is malformed or out of range. Don't repeat the call. Code 'invalid'."""

class NotFound(VmiError):
    """There is no such symbol, type, member, process or stored key. Code 'not_found'."""

class NotMapped(VmiError):
    """Nothing backs the address. The page may be swapped out or not loaded yet. Code 'not_mapped'."""

class Denied(VmiError):
    """The operator doesn't permit it. Code 'denied'."""

class Busy(VmiError):
    """A limit is reached. Clear an event or wait for an answer, then repeat the call. Code 'busy'."""

class Unavailable(VmiError):
    """A partition doesn't answer or accepts nothing more, or the VM can't do it now: it boots, or its driver
    lacks it. Repeat the call later. Code 'unavailable'."""

class Gone(Unavailable):
    """The VM or its partition has ended for good. After this the app ends too. Code 'gone'."""

class _BackendMessage(NamedTuple):
    type: str
    message: str

class BackendMessage(_BackendMessage):
    lost: int

class ProcessEntry(TypedDict):
    name: str
    process_block_ptr: int

# Printed by `furnace calls --stubs`:
def events_start() -> int:
    """Starts the delivery of this app's events."""
def events_stop() -> int:
    """Stops the delivery of this app's events."""
def get_access_mode() -> int:
    """How guest memory is reached (LibVMI's vmi_mode_t: 0 Xen, 1 QEMU/KVM, 2 file)."""
def get_memsize() -> int:
    """The guest's memory in bytes."""
def get_name() -> str:
    """The VM's name."""
def get_offset(symbol: str) -> int:
    """A well-known offset: linux_tasks, linux_name, linux_pid, linux_mm, linux_pgd."""
def get_ostype() -> str:
    """The guest's operating system by LibVMI's name: 'VMI_OS_LINUX'."""
def get_page_mode() -> str:
    """The guest's paging mode by LibVMI's name: 'VMI_PM_IA32E' (4 or 5 levels)."""
def get_vcpureg(reg: str, vcpu: int = 0) -> int:
    """A register of a vCPU by name: 'rip', 'cr3', 'gs_base', ..."""
def get_vmid() -> int:
    """The hypervisor's number for the VM (QEMU: its process id)."""
def get_winver() -> int:
    """The Windows version; fails for other guests."""
def get_winver_str() -> str:
    """The Windows version as text; fails for other guests."""
def lookup_structure(structure_name: str, structure_key: str) -> int:
    """The byte offset of a member of a kernel structure. A nested member is 'a.b'."""
def lookup_symbol(symbol_name: str) -> int:
    """A kernel symbol's address in the running guest."""
def pause_vm() -> int:
    """Pauses the VM. Pauses are counted: each one needs a resume_vm."""
def read_16_ksym(symbol: str) -> int:
    """Reads the unsigned number at an address."""
def read_16_pa(paddr: int) -> int:
    """Reads the unsigned number at an address."""
def read_16_va(vaddr: int, pid: int) -> int:
    """Reads the unsigned number at an address."""
def read_32_ksym(symbol: str) -> int:
    """Reads the unsigned number at an address."""
def read_32_pa(paddr: int) -> int:
    """Reads the unsigned number at an address."""
def read_32_va(vaddr: int, pid: int) -> int:
    """Reads the unsigned number at an address."""
def read_64_ksym(symbol: str) -> int:
    """Reads the unsigned number at an address."""
def read_64_pa(paddr: int) -> int:
    """Reads the unsigned number at an address."""
def read_64_va(vaddr: int, pid: int) -> int:
    """Reads the unsigned number at an address."""
def read_8_ksym(symbol: str) -> int:
    """Reads the unsigned number at an address."""
def read_8_pa(paddr: int) -> int:
    """Reads the unsigned number at an address."""
def read_8_va(vaddr: int, pid: int) -> int:
    """Reads the unsigned number at an address."""
def read_addr_ksym(symbol: str) -> int:
    """Reads the pointer at an address, as wide as the guest's pointers."""
def read_addr_pa(paddr: int) -> int:
    """Reads the pointer at an address, as wide as the guest's pointers."""
def read_addr_va(vaddr: int, pid: int) -> int:
    """Reads the pointer at an address, as wide as the guest's pointers."""
def read_ksym(symbol: str, count: int) -> bytes:
    """Reads count bytes from an address. Returns fewer, and fails, if pages are missing."""
def read_pa(paddr: int, count: int) -> bytes:
    """Reads count bytes from an address. Returns fewer, and fails, if pages are missing."""
def read_str_ksym(symbol: str) -> str:
    """Reads the text at an address up to its NUL, at most 4096 bytes, as UTF-8."""
def read_str_pa(paddr: int) -> str:
    """Reads the text at an address up to its NUL, at most 4096 bytes, as UTF-8."""
def read_str_va(vaddr: int, pid: int) -> str:
    """Reads the text at an address up to its NUL, at most 4096 bytes, as UTF-8."""
def read_va(vaddr: int, pid: int, count: int) -> bytes:
    """Reads count bytes from an address. Returns fewer, and fails, if pages are missing."""
def resume_vm() -> int:
    """Undoes one pause_vm."""
def status() -> int:
    """Returns 1 while the VMI partition serves."""
def translate_ksym2v(symbol: str) -> int:
    """A kernel symbol's address in the running guest."""
def translate_kv2p(vaddr: int) -> int:
    """The physical address of a kernel address."""
def translate_uv2p(vaddr: int, pid: int) -> int:
    """The physical address of an address of a process."""
def write_16_ksym(symbol: str, value: int) -> int:
    """Writes a number to an address."""
def write_16_pa(paddr: int, value: int) -> int:
    """Writes a number to an address."""
def write_16_va(vaddr: int, pid: int, value: int) -> int:
    """Writes a number to an address."""
def write_32_ksym(symbol: str, value: int) -> int:
    """Writes a number to an address."""
def write_32_pa(paddr: int, value: int) -> int:
    """Writes a number to an address."""
def write_32_va(vaddr: int, pid: int, value: int) -> int:
    """Writes a number to an address."""
def write_64_ksym(symbol: str, value: int) -> int:
    """Writes a number to an address."""
def write_64_pa(paddr: int, value: int) -> int:
    """Writes a number to an address."""
def write_64_va(vaddr: int, pid: int, value: int) -> int:
    """Writes a number to an address."""
def write_8_ksym(symbol: str, value: int) -> int:
    """Writes a number to an address."""
def write_8_pa(paddr: int, value: int) -> int:
    """Writes a number to an address."""
def write_8_va(vaddr: int, pid: int, value: int) -> int:
    """Writes a number to an address."""
def write_ksym(symbol: str, buffer: str | bytes) -> int:
    """Writes bytes to an address. Returns how many were written."""
def write_pa(paddr: int, buffer: str | bytes) -> int:
    """Writes bytes to an address. Returns how many were written."""
def write_va(vaddr: int, pid: int, buffer: str | bytes) -> int:
    """Writes bytes to an address. Returns how many were written."""
def process_list() -> dict[int, ProcessEntry]:
    """The guest's processes."""
def describe_structure(structure_name: str) -> dict[str, Any]:
    """The layout of a kernel structure: its size and members with offset, size and type."""

class checked:
    """The same calls, which raise VmiError when they fail."""

    @staticmethod
    def event_clear(identifier: int) -> int:
        """Removes a registered event. Raises VmiError if it fails."""
    @staticmethod
    def event_register(event_type: int, sync_state: int, reg_value: int, bp_addr: int, bp_pid: int,
                       bp_name: str, gva: int, length: int, access: int, uid: int, number: int,
                       returns: int, notices: int, gathers: int, gpa: int) -> int:
        """Registers an event; returns its identifier. Raises VmiError if it fails."""
    @staticmethod
    def events_start() -> int:
        """Starts the delivery of this app's events. Raises VmiError if it fails."""
    @staticmethod
    def events_stop() -> int:
        """Stops the delivery of this app's events. Raises VmiError if it fails."""
    @staticmethod
    def get_access_mode() -> int:
        """How guest memory is reached (LibVMI's vmi_mode_t: 0 Xen, 1 QEMU/KVM, 2 file).
        Raises VmiError if it fails."""
    @staticmethod
    def get_memsize() -> int:
        """The guest's memory in bytes. Raises VmiError if it fails."""
    @staticmethod
    def get_name() -> str:
        """The VM's name. Raises VmiError if it fails."""
    @staticmethod
    def get_offset(symbol: str) -> int:
        """A well-known offset: linux_tasks, linux_name, linux_pid, linux_mm, linux_pgd.
        Raises VmiError if it fails."""
    @staticmethod
    def get_ostype() -> str:
        """The guest's operating system by LibVMI's name: 'VMI_OS_LINUX'. Raises VmiError if it fails."""
    @staticmethod
    def get_page_mode() -> str:
        """The guest's paging mode by LibVMI's name: 'VMI_PM_IA32E' (4 or 5 levels).
        Raises VmiError if it fails."""
    @staticmethod
    def get_vcpureg(reg: str, vcpu: int = 0) -> int:
        """A register of a vCPU by name: 'rip', 'cr3', 'gs_base', ... Raises VmiError if it fails."""
    @staticmethod
    def get_vmid() -> int:
        """The hypervisor's number for the VM (QEMU: its process id). Raises VmiError if it fails."""
    @staticmethod
    def get_winver() -> int:
        """The Windows version; fails for other guests. Raises VmiError if it fails."""
    @staticmethod
    def get_winver_str() -> str:
        """The Windows version as text; fails for other guests. Raises VmiError if it fails."""
    @staticmethod
    def lookup_structure(structure_name: str, structure_key: str) -> int:
        """The byte offset of a member of a kernel structure. A nested member is 'a.b'.
        Raises VmiError if it fails."""
    @staticmethod
    def lookup_symbol(symbol_name: str) -> int:
        """A kernel symbol's address in the running guest. Raises VmiError if it fails."""
    @staticmethod
    def pause_vm() -> int:
        """Pauses the VM. Pauses are counted: each one needs a resume_vm. Raises VmiError if it fails."""
    @staticmethod
    def read_16_ksym(symbol: str) -> int:
        """Reads the unsigned number at an address. Raises VmiError if it fails."""
    @staticmethod
    def read_16_pa(paddr: int) -> int:
        """Reads the unsigned number at an address. Raises VmiError if it fails."""
    @staticmethod
    def read_16_va(vaddr: int, pid: int) -> int:
        """Reads the unsigned number at an address. Raises VmiError if it fails."""
    @staticmethod
    def read_32_ksym(symbol: str) -> int:
        """Reads the unsigned number at an address. Raises VmiError if it fails."""
    @staticmethod
    def read_32_pa(paddr: int) -> int:
        """Reads the unsigned number at an address. Raises VmiError if it fails."""
    @staticmethod
    def read_32_va(vaddr: int, pid: int) -> int:
        """Reads the unsigned number at an address. Raises VmiError if it fails."""
    @staticmethod
    def read_64_ksym(symbol: str) -> int:
        """Reads the unsigned number at an address. Raises VmiError if it fails."""
    @staticmethod
    def read_64_pa(paddr: int) -> int:
        """Reads the unsigned number at an address. Raises VmiError if it fails."""
    @staticmethod
    def read_64_va(vaddr: int, pid: int) -> int:
        """Reads the unsigned number at an address. Raises VmiError if it fails."""
    @staticmethod
    def read_8_ksym(symbol: str) -> int:
        """Reads the unsigned number at an address. Raises VmiError if it fails."""
    @staticmethod
    def read_8_pa(paddr: int) -> int:
        """Reads the unsigned number at an address. Raises VmiError if it fails."""
    @staticmethod
    def read_8_va(vaddr: int, pid: int) -> int:
        """Reads the unsigned number at an address. Raises VmiError if it fails."""
    @staticmethod
    def read_addr_ksym(symbol: str) -> int:
        """Reads the pointer at an address, as wide as the guest's pointers. Raises VmiError if it fails."""
    @staticmethod
    def read_addr_pa(paddr: int) -> int:
        """Reads the pointer at an address, as wide as the guest's pointers. Raises VmiError if it fails."""
    @staticmethod
    def read_addr_va(vaddr: int, pid: int) -> int:
        """Reads the pointer at an address, as wide as the guest's pointers. Raises VmiError if it fails."""
    @staticmethod
    def read_ksym(symbol: str, count: int) -> bytes:
        """Reads count bytes from an address. Returns fewer, and fails, if pages are missing.
        Raises VmiError if it fails."""
    @staticmethod
    def read_pa(paddr: int, count: int) -> bytes:
        """Reads count bytes from an address. Returns fewer, and fails, if pages are missing.
        Raises VmiError if it fails."""
    @staticmethod
    def read_str_ksym(symbol: str) -> str:
        """Reads the text at an address up to its NUL, at most 4096 bytes, as UTF-8.
        Raises VmiError if it fails."""
    @staticmethod
    def read_str_pa(paddr: int) -> str:
        """Reads the text at an address up to its NUL, at most 4096 bytes, as UTF-8.
        Raises VmiError if it fails."""
    @staticmethod
    def read_str_va(vaddr: int, pid: int) -> str:
        """Reads the text at an address up to its NUL, at most 4096 bytes, as UTF-8.
        Raises VmiError if it fails."""
    @staticmethod
    def read_va(vaddr: int, pid: int, count: int) -> bytes:
        """Reads count bytes from an address. Returns fewer, and fails, if pages are missing.
        Raises VmiError if it fails."""
    @staticmethod
    def resume_vm() -> int:
        """Undoes one pause_vm. Raises VmiError if it fails."""
    @staticmethod
    def status() -> int:
        """Returns 1 while the VMI partition serves. Raises VmiError if it fails."""
    @staticmethod
    def translate_ksym2v(symbol: str) -> int:
        """A kernel symbol's address in the running guest. Raises VmiError if it fails."""
    @staticmethod
    def translate_kv2p(vaddr: int) -> int:
        """The physical address of a kernel address. Raises VmiError if it fails."""
    @staticmethod
    def translate_uv2p(vaddr: int, pid: int) -> int:
        """The physical address of an address of a process. Raises VmiError if it fails."""
    @staticmethod
    def write_16_ksym(symbol: str, value: int) -> int:
        """Writes a number to an address. Raises VmiError if it fails."""
    @staticmethod
    def write_16_pa(paddr: int, value: int) -> int:
        """Writes a number to an address. Raises VmiError if it fails."""
    @staticmethod
    def write_16_va(vaddr: int, pid: int, value: int) -> int:
        """Writes a number to an address. Raises VmiError if it fails."""
    @staticmethod
    def write_32_ksym(symbol: str, value: int) -> int:
        """Writes a number to an address. Raises VmiError if it fails."""
    @staticmethod
    def write_32_pa(paddr: int, value: int) -> int:
        """Writes a number to an address. Raises VmiError if it fails."""
    @staticmethod
    def write_32_va(vaddr: int, pid: int, value: int) -> int:
        """Writes a number to an address. Raises VmiError if it fails."""
    @staticmethod
    def write_64_ksym(symbol: str, value: int) -> int:
        """Writes a number to an address. Raises VmiError if it fails."""
    @staticmethod
    def write_64_pa(paddr: int, value: int) -> int:
        """Writes a number to an address. Raises VmiError if it fails."""
    @staticmethod
    def write_64_va(vaddr: int, pid: int, value: int) -> int:
        """Writes a number to an address. Raises VmiError if it fails."""
    @staticmethod
    def write_8_ksym(symbol: str, value: int) -> int:
        """Writes a number to an address. Raises VmiError if it fails."""
    @staticmethod
    def write_8_pa(paddr: int, value: int) -> int:
        """Writes a number to an address. Raises VmiError if it fails."""
    @staticmethod
    def write_8_va(vaddr: int, pid: int, value: int) -> int:
        """Writes a number to an address. Raises VmiError if it fails."""
    @staticmethod
    def write_ksym(symbol: str, buffer: str | bytes) -> int:
        """Writes bytes to an address. Returns how many were written. Raises VmiError if it fails."""
    @staticmethod
    def write_pa(paddr: int, buffer: str | bytes) -> int:
        """Writes bytes to an address. Returns how many were written. Raises VmiError if it fails."""
    @staticmethod
    def write_va(vaddr: int, pid: int, buffer: str | bytes) -> int:
        """Writes bytes to an address. Returns how many were written. Raises VmiError if it fails."""
    @staticmethod
    def process_list() -> dict[int, ProcessEntry]:
        """The guest's processes. Raises VmiError if it fails."""
    @staticmethod
    def start_syscall(sync_state: int) -> int:
        """Starts system-call tracing. Raises VmiError if it fails."""
    @staticmethod
    def stop_syscall() -> int:
        """Stops system-call tracing. Raises VmiError if it fails."""
    @staticmethod
    def describe_structure(structure_name: str) -> dict[str, Any]:
        """The layout of a kernel structure: its size and members with offset, size and type.
        Raises VmiError if it fails."""
# The end of what `furnace calls --stubs` prints.

class VmEvent(NamedTuple):
    type: int
    identifier: int
    cr3: int
    rip: int
    rbp: int
    rsp: int
    rdi: int
    rsi: int
    rdx: int
    rax: int
    vcpu: int
    uid: int
    procname: str
    pid: int
    ppid: int

    tid: int
    lost: int
    timed_out: int
    old_cr3: int | None
    gpa: int | None

class MemoryEvent(VmEvent):
    address: int
    access: str
    old_value: int | None
    new_value: int | None

class SyscallEvent(VmEvent):
    r10: int
    r8: int
    r9: int
    number: int
    name: str
    arguments: dict[str, int | str]
    is_return: bool
    return_value: int | None

class ProcessEvent(VmEvent):
    subject_pid: int
    subject_ppid: int
    subject_name: str
    path: str
    exit_status: int | None

class CredentialsEvent(VmEvent):
    old_uid: int
    new_uid: int
    old_euid: int
    new_euid: int
    old_capabilities: int
    new_capabilities: int

class ModuleEvent(VmEvent):
    module: str
    address: int

class Batch:
    state: int
    def add(self, name: Any, type: str, args: dict[str, Any] | None = None, linkname: Any = None,
            linkfield: str | int | None = None, linktgt: str | int | None = None,
            linkopr: int | None = None) -> int: ...
    def serialize(self) -> bytes: ...
    def results(self) -> Iterator[dict[str, Any]]: ...
    def results_size(self) -> int: ...
    def reset(self) -> None: ...

class Pointer(int):
    type: str
    def deref(self) -> Struct: ...

class Struct:
    def __getattr__(self, name: str) -> Any: ...
    def address_of(self, name: str) -> int: ...
    def held_at(self, address: int, size: int) -> bytes | None: ...
    def refresh(self) -> Struct: ...

def batch(calls: list[dict[str, Any]]) -> dict[Any, dict[str, Any]]:
    """Sends calls in one message: {'type', 'label', 'args', 'link'} each. Returns the fields of each answer
    by label.
    """
def batch_new() -> Batch:
    """Creates an empty batch (docs/apps.md)."""
def batch_send(made: Batch) -> None:
    """Sends a batch and waits for its answers."""
def read_many(ranges: Iterable[tuple[int, int]]) -> list[bytes | VmiError]:
    """Reads (address, size) ranges of the kernel in few messages. Returns bytes or a VmiError for each."""
def struct(name: str, address: int | Struct, pid: int = 0) -> Struct:
    """Reads a structure of the kernel at an address. Members are attributes of the result."""
def layout(name: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """Returns the size of a structure in bytes, and its members."""
def offset_of(name: str, member: str) -> int:
    """Returns the byte offset of a member; a nested member is 'a.b'."""
def list_of(head: int | Struct, name: str, member: str) -> Iterator[Struct]:
    """Walks a circular list of the kernel: its head, the structure of its entries, the member that links
    them.
    """
def tasks() -> Iterator[Struct]:
    """Walks the guest's task list, without the idle task."""
def event_register(event: dict[str, Any]) -> int:
    """Registers a callback for an event, a timer or messages (docs/events.md). Returns its id."""
def event_clear(identifier: int) -> bool:
    """Removes a registered event. Raises ValueError if there is none with this id."""
def start_syscall(callback: Callable[[Any], Any], sync: int = ...) -> int:
    """Registers a callback for all system calls. Returns its id."""
def stop_syscall(identifier: int | None = None) -> int:
    """Removes the callback of start_syscall."""
def io_set(key: str, text: str) -> str:
    """Stores a text under a key of 1 to 16 characters of \\w and '-'. It is on disk when the call returns."""
def io_get(key: str) -> str:
    """Returns a stored text. Raises an error if there is none under this key."""
def io_list() -> dict[str, int]:
    """Returns the size in bytes of each stored value, by key."""
def io_usage() -> tuple[int, int]:
    """Returns the bytes used, and the bytes allowed."""
def io_delete(key: str) -> None:
    """Deletes a stored value."""
def notify(text: str, durable: bool = False, raises: bool = False) -> bool:
    """Sends a text to the backend. Returns False (or raises) if it was not accepted. durable: stored on disk
    first.
    """
def notify_bytes(data: bytes, durable: bool = False, raises: bool = False) -> bool:
    """Sends bytes to the backend, as notify does."""
def request(text: str, timeout: float = 30.0) -> str:
    """Sends a text to the backend and waits for its answer, at most timeout seconds."""
def request_bytes(data: bytes, timeout: float = 30.0) -> bytes:
    """Sends bytes to the backend and waits for its answer, at most timeout seconds."""
def traceparent() -> str | None:
    """Returns the W3C trace id that messages carry now, or None."""
def log(text: str) -> None:
    """Writes a line to the app's log."""
def set_name(name: str) -> bool:
    """Names this app in its log: 1 to 16 characters of \\w and '-'. Returns whether the name is valid."""
def shutdown() -> None:
    """Stops the app after the running callback has returned."""
def exit() -> None:
    """Stops the app now: raises SystemExit out of the running callback or constructor."""
