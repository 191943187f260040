"""Batches: many calls in one message, later ones fed by the answers of earlier ones."""

import _furnace
from _furnace import VmiError

MAX_CALLS = 1000
_MAX_BYTES = 4 << 20  # asked for in one message by read_many
EMPTY, FILLING, SERIALIZED, RAW, PARSED = range(5)


def batch(calls):
    """Runs up to 1000 calls in one message; returns {label: {field: value}}.

    calls: a list of {'type': 'READ_32_VA', 'label': 'a', 'args': {'vaddr': 0x1000, 'pid': 1}, 'link': None}. 'link' takes an
    argument from an earlier answer: (prev_msg_ix, prev_item_ix, cur_item_ix, operator): index of the earlier call, of the
    field in its answer, of the field in this request, all from 0, and F_ADD, F_SUB or F_OVERWRITE. A call that fails has
    'status' 1 and a 'reason'. VmiError for a batch that can't be executed; it names the call.
    """
    made = Batch()
    for index, call in enumerate(calls):
        made.add(call.get('label', index), call['type'], call.get('args') or {})
        made._calls[-1][2] = call.get('link')
    batch_send(made)
    return {result.pop('name'): result for result in made.results()}


def read_many(ranges):
    """Reads many ranges of kernel memory in few messages. ranges: pairs (address, size). Returns for each, in
    order, the bytes that are there, or the VmiError that says why they can not be read."""
    answers, calls, size = [], [], 0
    for address, count in ranges:
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
        raise VmiError(f'read_many: {failure}')
    return [fields['result'] if fields.get('status') == 0 else VmiError(fields.get('reason', 'not readable'))
            for _, fields in results]


def batch_new():
    """An empty batch: add() calls, batch_send() it, read its results()."""
    return Batch()


def batch_send(made):
    """Sends a batch (serialized now, if it is not) and keeps its answer. VmiError if it could not be executed whole."""
    if made.state in (EMPTY, FILLING):
        made.serialize()
    made._answer = _furnace.batch_exchange(made._request)
    made.state = RAW
    failure = _furnace.batch_parse(made._request, made._answer)[1]
    if failure:
        raise VmiError(f'batch: {failure}')


class Batch:
    """Calls that go as one message. `state`: 0 empty, 1 filling, 2 serialized, 3 raw results, 4 parsed; set it back to 2
    to send the same calls again."""

    def __init__(self):
        self.reset()

    def reset(self):
        """Forgets calls and results."""
        self.state = EMPTY
        self._calls, self._names = [], []
        self._request = self._answer = b''

    def add(self, name, type, args=None, linkname=None, linkfield=None, linktgt=None, linkopr=None):
        """Adds call `type` ('READ_32_VA') under a name, with its arguments by field: {'vaddr': 0x1000, 'pid': 1}.

        linkname: an earlier call whose answer's field `linkfield` changes this call's argument `linktgt` by `linkopr`
        (F_ADD, F_SUB, F_OVERWRITE). Fields by name, or by index from 0. Returns the call's index.
        """
        if self.state not in (EMPTY, FILLING):
            raise VmiError('batch: serialized already; reset() starts a new one')
        link = None
        if linkname is not None:
            if linkname not in self._names:
                raise VmiError(f"batch: no earlier call is named {linkname!r}")
            source = len(self._names) - 1 - self._names[::-1].index(linkname)
            link = (source, self._index(self._calls[source][0], linkfield, True), self._index(type, linktgt, False), linkopr)
        self._calls.append([type, dict(args or {}), link])
        self._names.append(name)
        self.state = FILLING
        return len(self._calls) - 1

    @staticmethod
    def _index(type, field, answer):
        return field if isinstance(field, int) else _furnace.field_index(type, field, answer)

    def serialize(self):
        """Makes the message; returns its bytes. VmiError names what is wrong with a call."""
        if not 1 <= len(self._calls) <= MAX_CALLS:
            raise VmiError(f'batch: {len(self._calls)} calls: a message holds 1 to {MAX_CALLS} calls')
        self._request = _furnace.batch_serialize([tuple(call) for call in self._calls])
        self.state = SERIALIZED
        return self._request

    def results(self):
        """The results in order: {'name', 'result', 'status', ...}; those before the call that stopped a batch."""
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
