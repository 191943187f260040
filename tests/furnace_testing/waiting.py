"""Waits for what comes at some time."""

import time

# Every limit of time is multiplied by this: limits are for what hangs, and one host is several times as slow
# as another.
PATIENCE = 4


def eventually(condition, seconds=10, what='condition'):
    """Returns the first true value of condition(), which is tried until `seconds` (times PATIENCE) are
    over.
    """
    seconds *= PATIENCE
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f'{what}: not within {seconds} s'
        time.sleep(0.02)
