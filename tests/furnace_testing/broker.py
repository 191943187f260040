"""Requests to a broker and its answers, byte by byte."""

import struct

# The kinds of src/hypervisor/broker/messages.h, in its order.
(
    REGISTERS,
    PAUSE,
    RESUME,
    STATE,
    POLL,
    DESCRIBE,
    WATCH,
    UNWATCH,
    FORGET,
    TAKE,
    PROCEED,
    READ,
    WRITE,
    OPEN_STUB,
    REOPEN_STUB,
    CLOSE_STUB,
    INTERRUPT,
    RUN,
    STEP,
    RUN_ONE,
    INSERT,
    REMOVE,
    STUB_REGISTERS,
    SET_INSTRUCTION_POINTER,
) = range(24)
ALL = (1 << 64) - 1
ANSWER = 224  # bytes before the items


def ask(what, kind=0, address=0, length=0, number=0, items=b''):
    """A request in hexadecimal."""
    return (struct.pack('<BBBBiQQQQ', what, kind, 0, 0, 0, address, length, 0, number) + items).hex()


def succeeded(answer):
    """Whether the broker did what was asked."""
    return answer != '' and bytes.fromhex(answer)[0] == 0


def number_in(answer):
    """Bytes that were read or written."""
    return struct.unpack_from('<Q', bytes.fromhex(answer), 16)[0]


def read_places(*places):
    """Asks for the bytes of (gpa, length) pairs."""
    return ask(READ, items=b''.join(struct.pack('<QQ', gpa, length) for gpa, length in places))


def cells_of(answer):
    """The bytes of each place that came."""
    data = bytes.fromhex(answer)[ANSWER:]
    return [
        data[i + 8 : i + 8 + min(64, struct.unpack_from('<Q', data, i)[0])] for i in range(0, len(data), 72)
    ]
