"""Batches: many calls in one message, later ones fed by the answers of earlier ones."""

from types import NoneType

import _furnace
from _furnace import VmiError
from furnace_checks import check_dictionary as _check_dictionary

MAX_CALLS = 1000
_MAX_BYTES = 4 << 20  # asked for in one message by read_many
EMPTY, FILLING, SERIALIZED, RAW, PARSED = range(5)
_KEYS = ('type', 'label', 'args', 'link')


def batch(calls):
    """Runs up to 1000 calls in one message; returns {label: {field: value}}.

    calls: a list of {'type': 'READ_32_VA', 'label': 'a', 'args': {'vaddr': 0x1000, 'pid': 1}, 'link': None}.
    'link' takes an argument from an earlier answer: (prev_msg_ix, prev_item_ix, cur_item_ix, operator): index
    of the earlier call, of the field in its answer, of the field in this request, all from 0, and F_ADD,
    F_SUB or F_OVERWRITE. A call that fails has 'status' 1 and a 'reason'. VmiError for a batch that can't be
    executed; it names the call.
    """
    made = Batch()
    for index, call in enumerate(calls):
        where = f'batch: call {index}'
        _check_dictionary(call, _KEYS, where, 'a call')
        if 'type' not in call:
            raise ValueError(f"{where}: 'type' is missing: expected a call's name, as 'READ_VA'")
        label = call.get('label', index)
        if label.__hash__ is None:
            raise TypeError(
                f"{where}: 'label' is {label!r}: expected a text, a number or another key of a dict"
            )
        made._append(label, call['type'], call.get('args'), call.get('link'))
    batch_send(made)
    return {result.pop('name'): result for result in made.results()}


def read_many(ranges):
    """Reads many ranges of kernel memory in few messages. ranges: pairs (address, size). Returns for each, in
    order, the bytes that are there, or the VmiError that says why they can not be read."""
    answers, calls, size = [], [], 0
    for index, pair in enumerate(ranges):
        if (
            not isinstance(pair, (tuple, list))
            or len(pair) != 2
            or not all(isinstance(each, int) for each in pair)
        ):
            raise TypeError(f'read_many: range {index} is {pair!r}: expected a pair (address, size) of ints')
        address, count = pair
        if len(calls) == MAX_CALLS or calls and size + count > _MAX_BYTES:
            answers += _read_ranges(calls)
            calls, size = [], 0
        calls.append(('READ_VA', {'vaddr': address, 'pid': 0, 'count': count}, None))
        size += count
    return answers + (_read_ranges(calls) if calls else [])


def _read_ranges(calls):
    request = _furnace.batch_serialize(calls)
    results, failure = _furnace.batch_parse(request, _furnace.batch_exchange(request))
    if failure:
        raise type(failure)(f'read_many: {failure}')
    return [
        (
            fields['result']
            if fields.get('status') == 0
            else _furnace._call_error(fields.get('code', 1), fields.get('reason', 'not readable'))
        )
        for _, fields in results
    ]


def batch_new():
    """An empty batch: add() calls, batch_send() it, read its results()."""
    return Batch()


def batch_send(made):
    """Sends a batch (serialized now, if it is not) and keeps its answer. VmiError if it could not be executed
    whole.
    """
    if made.state in (EMPTY, FILLING):
        made.serialize()
    made._answer = _furnace.batch_exchange(made._request)
    made.state = RAW
    failure = _furnace.batch_parse(made._request, made._answer)[1]
    if failure:
        raise type(failure)(f'batch: {failure}')


def _is_link(link):
    return (
        isinstance(link, (tuple, list))
        and len(link) == 4
        and all(isinstance(each, int) and not isinstance(each, bool) and 0 <= each < 1 << 31 for each in link)
    )


class Batch:
    """Calls that go as one message. `state`: 0 empty, 1 filling, 2 serialized, 3 raw results, 4 parsed; set
    it back to 2 to send the same calls again."""

    def __init__(self):
        self.reset()

    def reset(self):
        """Forgets calls and results."""
        self.state = EMPTY
        self._calls, self._names = [], []
        self._request = self._answer = b''

    def add(self, name, type, args=None, linkname=None, linkfield=None, linktgt=None, linkopr=None):
        """Adds call `type` ('READ_32_VA') under a name, with its arguments by field: {'vaddr': 0x1000, 'pid':
        1}.

        linkname: an earlier call whose answer's field `linkfield` changes this call's argument `linktgt` by
        `linkopr` (F_ADD, F_SUB, F_OVERWRITE). Fields by name, or by index from 0. Returns the call's index.
        """
        if self.state not in (EMPTY, FILLING):
            raise VmiError('batch: serialized already; reset() starts a new one')
        link = None
        if linkname is None and (linkfield, linktgt, linkopr) != (None, None, None):
            raise ValueError(
                f"batch: call {len(self._calls)}: 'linkname' is missing: the earlier call that it takes an"
                " argument from"
            )
        if linkname is not None:
            if linkname not in self._names:
                raise VmiError(f"batch: no earlier call is named {linkname!r}")
            source = len(self._names) - 1 - self._names[::-1].index(linkname)
            link = (
                source,
                self._index(self._calls[source][0], linkfield, True),
                self._index(type, linktgt, False),
                linkopr,
            )
        return self._append(name, type, args, link)

    def _append(self, name, type, args, link):
        where = f'batch: call {len(self._calls)}'
        if not isinstance(type, str):
            raise TypeError(f"{where}: 'type' is {type!r}: expected a call's name, as 'READ_VA'")
        if not isinstance(args, (dict, NoneType)):
            raise TypeError(
                f"{where} ({type}): 'args' is {args!r}: expected a dict of the call's arguments, or None"
            )
        for key in args or {}:
            if not isinstance(key, str):
                raise TypeError(f"{where} ({type}): 'args' has the key {key!r}: expected an argument's name")
        if link is not None and not _is_link(link):
            raise TypeError(
                f"{where} ({type}): its link is {link!r}: expected None or (index of an earlier call, index"
                " of a field of its answer, index of a field of this call, F_ADD, F_SUB or F_OVERWRITE)"
            )
        self._calls.append([type, dict(args or {}), link])
        self._names.append(name)
        self.state = FILLING
        return len(self._calls) - 1

    def _index(self, type, field, answer):
        where = f'batch: call {len(self._calls)}'
        if isinstance(field, int):
            return field
        if not isinstance(field, str):
            raise TypeError(
                f"{where}: {'linkfield' if answer else 'linktgt'!r} is {field!r}: expected a field's name or"
                " index"
            )
        try:
            return _furnace.field_index(type, field, answer)
        except VmiError as error:
            raise VmiError(f'{where}: {error}') from None

    def serialize(self):
        """Makes the message; returns its bytes. VmiError names what is wrong with a call."""
        if not 1 <= len(self._calls) <= MAX_CALLS:
            raise VmiError(f'batch: {len(self._calls)} calls: a message holds 1 to {MAX_CALLS} calls')
        self._request = _furnace.batch_serialize([tuple(call) for call in self._calls])
        self.state = SERIALIZED
        return self._request

    def results(self):
        """The results in order: {'name', 'result', 'status', ...}; those before the call that stopped a
        batch.
        """
        if self.state not in (RAW, PARSED):
            raise VmiError('batch: not sent yet')
        parsed, _ = _furnace.batch_parse(self._request, self._answer)
        self.state = PARSED
        for name, (_, fields) in zip(self._names, parsed):
            yield {'name': name, **fields}

    def results_size(self):
        """How many results there are."""
        if self.state not in (RAW, PARSED):
            return 0
        return len(_furnace.batch_parse(self._request, self._answer)[0])
