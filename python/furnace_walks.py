"""Walks through a guest's structures that go side by side, so that what many of them read goes in few
messages.

A walk is a generator. It yields a list of (address, size), gets back what is there (bytes or a VmiError for
each), and returns its result; it takes parts of its way with `yield from`. A walk that can't continue raises
VmiError.
"""

from _furnace import VmiError
from furnace_batch import read_many
from furnace_types import Struct, layout

_MAX_STRUCTURE = 1 << 14  # bytes; the guest says how large its structures are
_MAX_KEPT = 32 << 20  # bytes of answers
# What a guest's own description of its types can lead to: a member is missing, or it is of another kind.
_DAMAGED_TYPES = (AttributeError, TypeError, ValueError, OverflowError)


class Reader:
    """What takes walks to their ends. It keeps what it has read: walks that meet in a structure see it the
    same."""

    def __init__(self):
        self._kept, self._size = {}, 0

    def run(self, walks):
        """Takes walks side by side; returns for each its result, or the VmiError that ended it."""
        walk, answer = together(walks), None
        while True:
            try:
                wanted = walk.send(answer)
            except StopIteration as end:
                return end.value
            answer = self._read(wanted)

    def _read(self, wanted):
        if self._size > _MAX_KEPT:
            self._kept, self._size = {}, 0
        missing = list(dict.fromkeys(each for each in wanted if each not in self._kept))
        self._kept.update(zip(missing, read_many(missing)))
        self._size += sum(size for _, size in missing)
        return [self._kept[each] for each in wanted]


def run(walk):
    """Takes one walk to its end; returns its result, or raises the VmiError that ended it."""
    (result,) = Reader().run([walk])
    if isinstance(result, VmiError):
        raise result
    return result


def together(walks):
    """Walks side by side: what they ask for in the same step is asked for at once. Returns a list of results;
    a VmiError that ended a walk is its result."""
    walks = list(walks)
    results, answers = [None] * len(walks), dict.fromkeys(range(len(walks)))
    while answers:
        wanted = {}
        for index, answer in answers.items():
            try:
                wanted[index] = walks[index].send(answer)
            except StopIteration as end:
                results[index] = end.value
            except VmiError as error:
                results[index] = error
            except _DAMAGED_TYPES as error:
                results[index] = VmiError(f"the guest's types do not fit: {error}")
        if not wanted:
            break
        got = iter((yield [each for ranges in wanted.values() for each in ranges]))
        answers = {index: [next(got) for _ in ranges] for index, ranges in wanted.items()}
    return results


def read(address, size):
    """A walk that reads `size` bytes at an address; what a guest's pointers add up to wraps around, as it
    does there."""
    (answer,) = yield [(int(address) % (1 << 64), size)]
    if isinstance(answer, VmiError):
        raise answer
    return answer


def read_number(address, size=8):
    """A walk that reads a number, or a pointer, at an address."""
    return int.from_bytes((yield from read(address, size)), 'little')


def read_struct(name, address):
    """A walk that reads kernel structure `name` at an address; returns a Struct."""
    size, _ = layout(name)
    if size > _MAX_STRUCTURE:
        raise VmiError(f"structure '{name}' has {size} bytes: the guest's types are damaged")
    return Struct(name, int(address) % (1 << 64), 0, (yield from read(address, size)))
