"""What both tenant APIs check of their arguments."""

import difflib
import re

_COMMON = ('event_type', 'callback', 'sync')  # apps of 1.0 give sync with every kind


def check_dictionary(given, known, where, whose):
    """Raises TypeError for what is no dict, and ValueError for a key that is not known; names those that
    are.
    """
    if not isinstance(given, dict):
        raise TypeError(f'{where}: {given!r} is no dict')
    for key in given:
        if key not in known:
            raise ValueError(
                f'{where}: unknown key {key!r}{meant(key, known)}; {whose} takes {", ".join(known)}'
            )


def meant(name, known):
    """Returns " (did you mean 'x'?)", or '' if nothing that is known is like it."""
    near = difflib.get_close_matches(str(name), known, 1, 0.5)
    return f' (did you mean {near[0]!r}?)' if near else ''


def check_keys(event, known):
    """Checks the keys of an event's description; `known`: those of its kind."""
    check_dictionary(event, (*_COMMON, *known), 'event_register', 'an event of this type')


def callback_of(event):
    """The callback of an event's description."""
    callback = event.get('callback')
    if not callable(callback):
        raise TypeError(f"event_register: 'callback' is {callback!r}, not a function")
    return callback


def seconds_of(event):
    """The interval of a timer's description."""
    if 'time_value' not in event:
        raise ValueError("event_register: 'time_value' is missing: expected seconds, 0.0 or more")
    if isinstance(event['time_value'], bool) or not isinstance(event['time_value'], (int, float)):
        raise ValueError(
            f"event_register: 'time_value' is {event['time_value']!r}: expected seconds, 0.0 or more"
        )
    seconds = float(event['time_value'])
    if not 0.0 <= seconds <= 1e9:
        raise ValueError(f"event_register: 'time_value' is {seconds}: expected seconds, 0.0 or more")
    return seconds


def is_name(name):
    """Whether set_name takes it: 1 to 16 characters of \\w and '-'."""
    return isinstance(name, str) and re.fullmatch(r'[\w-]{1,16}', name, re.ASCII) is not None
