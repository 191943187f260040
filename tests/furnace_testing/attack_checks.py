"""What the head of an attack says, and whether it came so: the same for an app, for a policy alone, and for a
partition on Xen.
"""

import re
import signal


def head(path):
    """The words of an attack's head: {'stopped by': ..., 'stopped by in fac': ..., 'needs': ...}."""
    return dict(
        re.findall(r'^(?:#|//) (stopped by(?: in [\w-]+)?|needs): "?(.*?)"?$', path.read_text(), re.M)
    )


def assert_stopped(attack, code, out, log, program, policy=''):
    """That an attack in this program's process was stopped by what its head names, and that it is told."""
    words = head(attack)
    stopped = words.get(f'stopped by in {policy}', words['stopped by'])
    said = (code, out, log)
    assert 'BROKE OUT' not in out, said
    if stopped == 'refused':
        assert code == 0 and 'violation' not in log, said
    elif stopped == 'signal':
        assert code in (128 + signal.SIGSEGV, 128 + signal.SIGSYS), said
    else:
        assert code == 128 + signal.SIGSYS and re.search(rf'violation: {program} .*{stopped}\b', log), said
