"""What both tenant APIs check of their arguments."""

import re


def callback_of(event):
    """The callback of an event's description."""
    callback = event.get('callback')
    if not callable(callback):
        raise TypeError(f"event_register: 'callback' is {callback!r}, not a function")
    return callback


def seconds_of(event):
    """The interval of a timer's description."""
    seconds = float(event.get('time_value', -1.0))
    if not 0.0 <= seconds <= 1e9:
        raise ValueError(f"event_register: 'time_value' is {seconds}: expected seconds, 0.0 or more")
    return seconds


def is_name(name):
    """Whether set_name takes it: 1 to 16 characters of \\w and '-'."""
    return isinstance(name, str) and re.fullmatch(r'[\w-]{1,16}', name, re.ASCII) is not None
