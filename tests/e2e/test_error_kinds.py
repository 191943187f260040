"""Errors have kinds that programs decide by: classes and codes in Python, numbers on the wire."""

import pytest
from conftest import Cloud

APP = """
import fe
class App:
    def __init__(self, ctx):
        for name, call in (('symbol', lambda: fe.checked.lookup_symbol('no_such_symbol')),
                           ('page', lambda: fe.checked.read_64_va(0x10, 0)),
                           ('physical', lambda: fe.checked.read_64_pa(1 << 50)),
                           ('process', lambda: fe.checked.read_64_va(0x1000, 99999999)),
                           ('write', lambda: fe.checked.write_8_va(fe.lookup_symbol('jiffies'), 0, 1)),
                           ('batch', lambda: fe.batch([{'type': 'READ_64_VA', 'args': {'vaddr': 1}, 'link': (5, 0, 0, fe.F_ADD)}]))):
            try:
                call()
                print(name, 'worked')
            except fe.VmiError as error:
                print(name, type(error).__name__, error.code)
        print('values', fe.read_64_va(0x10, 0), fe.lookup_symbol('no_such_symbol'))
        failed = fe.batch([{'type': 'READ_64_VA', 'label': 'a', 'args': {'vaddr': 0x10, 'pid': 0}}])['a']
        print('answer', failed['status'], failed['code'])
        print('many', type(fe.read_many([(0x10, 8)])[0]).__name__)
        print('kinds', issubclass(fe.Gone, fe.Unavailable), issubclass(fe.Busy, fe.VmiError), fe.VmiError.code)
        fe.exit()
"""


@pytest.fixture(scope='module')
def said(tmp_path_factory, guest):
    cloud = Cloud(tmp_path_factory.mktemp('kinds'), guest.name)
    try:
        cloud.start_vmi('--forbid', 'write')
        app = cloud.start_app(APP)
        assert app.wait_end(30) == 0, app.log
        return dict(line.split(' ', 1) for line in app.out.splitlines())
    finally:
        cloud.stop()


@pytest.mark.parametrize('what, kind', [
    ('symbol', 'NotFound not_found'), ('page', 'NotMapped not_mapped'), ('physical', 'NotMapped not_mapped'),
    ('process', 'NotFound not_found'), ('write', 'Denied denied'), ('batch', 'Invalid invalid')])
def test_a_failure_has_its_kind(said, what, kind):
    assert said[what] == kind


def test_unchecked_calls_return_what_1_0_returned(said):
    assert said['values'] == '0 0'


def test_answers_carry_the_number(said):
    assert said['answer'] == '1 4' and said['many'] == 'NotMapped'


def test_classes_form_a_tree(said):
    assert said['kinds'] == 'True True failed'


FAC_APP = """
import fe
class App:
    def __init__(self, ctx):
        for name, call in (('bad key', lambda: fe.io_set('no/slash', 'text')),
                           ('no key', lambda: fe.io_get('missing')),
                           ('nothing to delete', lambda: fe.io_delete('missing')),
                           ('quota', lambda: fe.io_set('large', 'x' * 2000)),
                           ('outbox', lambda: fe.notify('x' * 2000, durable=True, raises=True)),
                           ('no answer', lambda: fe.request('hello', timeout=0.5))):
            try:
                print(f'{name}: worked: {call()!r}')
            except fe.VmiError as error:
                print(f'{name}: {type(error).__name__} {error.code}')
        fe.exit()
"""


def test_failures_of_the_fac_partition_have_their_kinds(sim):
    sim.start_vmi()
    sim.start_fac(quota='1000,_furnace_max_outbox:1000')
    app = sim.start_app(FAC_APP)
    assert app.wait_end(30) == 0, app.log
    assert app.out.splitlines() == ['bad key: Invalid invalid', 'no key: NotFound not_found', 'nothing to delete: NotFound not_found',
                                    'quota: Busy busy', 'outbox: Busy busy', 'no answer: Unavailable unavailable'], app.out
