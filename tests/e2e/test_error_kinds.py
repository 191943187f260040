"""Errors have kinds that programs decide by: classes and codes in Python, numbers on the wire."""

import pytest

from furnace_testing import APPS, Cloud


@pytest.fixture(scope='module')
def said(tmp_path_factory, shared_guest):
    """What tests/apps/error_kinds.py printed, by the name of the call."""
    cloud = Cloud(tmp_path_factory.mktemp('kinds'), shared_guest.name)
    try:
        cloud.start_vmi('--forbid', 'write')
        app = cloud.start_app(APPS / 'error_kinds')
        assert app.wait_end(30) == 0, app.log
        return dict(line.split(' ', 1) for line in app.out.splitlines())
    finally:
        cloud.stop()


@pytest.mark.parametrize(
    'what, kind',
    [
        ('symbol', 'NotFound not_found'),
        ('page', 'NotMapped not_mapped'),
        ('physical', 'NotMapped not_mapped'),
        ('process', 'NotFound not_found'),
        ('write', 'Denied denied'),
        ('batch', 'Invalid invalid'),
    ],
)
def test_a_failure_has_its_kind(said, what, kind):
    assert said[what] == kind


def test_unchecked_calls_return_what_1_0_returned(said):
    assert said['values'] == '0 0'


def test_answers_carry_the_number(said):
    assert said['answer'] == '1 4' and said['many'] == 'NotMapped'


def test_classes_form_a_tree(said):
    assert said['kinds'] == 'True True failed'


def test_failures_of_the_fac_partition_have_their_kinds(sim_cloud):
    sim_cloud.start_vmi()
    sim_cloud.start_fac(quota='1000,_furnace_max_outbox:1000')
    app = sim_cloud.start_app(APPS / 'fac_error_kinds')
    assert app.wait_end(30) == 0, app.log
    assert app.out.splitlines() == [
        'bad key: Invalid invalid',
        'no key: NotFound not_found',
        'nothing to delete: NotFound not_found',
        'quota: Busy busy',
        'outbox: Busy busy',
        'no answer: Unavailable unavailable',
    ], app.out
