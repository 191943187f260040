"""Constants of both tenant APIs (Furnace 1.0)."""

VMI_SUCCESS = 0
VMI_FAILURE = 1

# Registers whose writes are events.
CR3 = 1
CR4 = 2

# Kinds of events.
REG = 3
INT = 4
MEM = 5
TIMER = 6
BE = 7
FE = 8
SYSCALL_PLUGIN = 9
SYSCALL = 200
PROCESS_CREATED = 201
PROCESS_EXECUTED = 202
PROCESS_EXITED = 203
CREDENTIALS = 204
MODULE_LOADED = 205
GUEST_REQUEST = 206

ACTIVE = 20
INACTIVE = 21

# Whether the guest is paused while an event is handled; how a message of an app was sent.
SYNC = 30
ASYNC = 31
PUBSUB = 32

# Address space of the kernel, where a pid is asked for.
KERNEL = 0

# Operators of links in batches.
F_ADD = ADD = 1
F_SUB = SUB = 2
F_OVERWRITE = OVERWRITE = 3

# Bytes of a text or bytes field of a message.
MAX_FIELD_SIZE = 11056943
