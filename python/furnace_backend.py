"""The tenant API of a backend: get an app's messages, send it notifications and broadcasts.

A backend is a class whose constructor takes {} and registers exactly one callback for messages:

    import be

    class AppBE:
        def __init__(self, ctx):
            be.event_register({'event_type': be.FE, 'callback': self.message})

        def message(self, ctx):
            print(ctx.ident, ctx.message)
            return 'answer'  # what fe.request returns; not used for fe.notify
"""

import threading
from collections import namedtuple

import _furnace_backend
import furnace_checks as _checks
from _furnace_backend import log  # noqa: F401
from furnace_constants import *  # noqa: F401,F403
from furnace_constants import ASYNC, FE, SYNC, TIMER


class Message(namedtuple('Message', 'ident sync message')):
    """A message of an app: ident: its id; sync: be.SYNC if it waits for an answer, else be.ASYNC; message:
    its text (str), or bytes. id: of a durable message, the same if it is delivered again (after the backend
    was killed while it worked on it), otherwise ''; traceparent: its W3C trace id, or ''.
    """

    id = ''
    traceparent = ''


_message_event = None
_MESSAGE_ID = 999_999_999


class _Interface:
    """What version 1.0 has in be.bei."""

    _context = None

    @property
    def context(self):
        """The backend's ZeroMQ context, as a zmq.Context of pyzmq (Debian: python3-zmq)."""
        if self._context is None:
            import zmq

            self._context = zmq.Context.shadow(_furnace_backend.context_address)
        return self._context


bei = _Interface()


def broadcast(text) -> None:
    """Sends a text (str) or bytes to all connected apps. Raises RuntimeError if it can't be sent."""
    _furnace_backend.broadcast(text)


def notify(app_identity: str, text) -> None:
    """Sends a text (str) or bytes to one app, by its id. Raises RuntimeError if the app is not connected, or
    if too many messages wait already."""
    if not isinstance(app_identity, str):
        raise TypeError(f"notify: 'app_identity' is {app_identity!r}: expected an app's id")
    _furnace_backend.notify(app_identity, text)


def event_register(event: dict) -> int:
    """Registers a callback; returns the event's id for event_clear.

    {'event_type': be.FE, 'callback': f}: f(Message) for each message of an app; with sync == be.SYNC the str
    or bytes that it returns is the answer. With --workers it is called in other threads: for one app one call
    at a time.
    {'event_type': be.TIMER, 'time_value': seconds, 'callback': f}: f('timer triggered').
    """
    global _message_event
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError('event_register: only in the thread that made the backend')
    _checks.check_keys(event, event)  # that it is a dict
    kind = event.get('event_type')
    callback = _checks.callback_of(event)
    if kind in (TIMER, FE):
        _checks.check_keys(event, ['time_value'] if kind == TIMER else [])
    if kind == TIMER:
        return _furnace_backend.add_timer(_checks.seconds_of(event), callback)
    if kind == FE:
        if _message_event is not None:
            raise ValueError('event_register: a callback for messages is registered already (exactly one)')
        _message_event = _MESSAGE_ID

        def deliver(ident, waits, content, id, traceparent):
            message = Message(ident, SYNC if waits else ASYNC, content)
            message.id, message.traceparent = id, traceparent
            return callback(message)

        _furnace_backend.set_message_callback(deliver)
        return _message_event
    raise ValueError(f'event_register: a backend has events be.FE and be.TIMER, not {kind!r}')


def event_clear(identifier: int) -> bool:
    """Removes a registered callback. Returns True. Raises ValueError if there is none with this id."""
    global _message_event
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError('event_clear: only in the thread that made the backend')
    if not isinstance(identifier, int):
        raise TypeError(f"event_clear: {identifier!r} is no event's id")
    if identifier == _message_event and identifier is not None:
        _message_event = None
        _furnace_backend.set_message_callback(None)
        return True
    if _furnace_backend.remove_timer(identifier):
        return True
    raise ValueError(f'event_clear: no event with id {identifier}')


def set_name(name: str) -> bool:
    """Names this backend in its log lines: 1 to 16 characters of \\w and '-'. Returns whether the name is
    valid.
    """
    if not _checks.is_name(name):
        return False
    _furnace_backend.set_log_name(name)
    return True


def exit() -> None:
    """Stops the backend now: raises SystemExit out of the running callback or constructor."""
    _furnace_backend.stop_loop()
    raise SystemExit
