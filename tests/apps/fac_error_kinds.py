"""Prints the kind of error that each call to storage and backend fails with."""

import fe


class App:
    def __init__(self, ctx):
        for name, call in (
            ('bad key', lambda: fe.io_set('no/slash', 'text')),
            ('no key', lambda: fe.io_get('missing')),
            ('nothing to delete', lambda: fe.io_delete('missing')),
            ('quota', lambda: fe.io_set('large', 'x' * 2000)),
            ('outbox', lambda: fe.notify('x' * 2000, durable=True, raises=True)),
            ('no answer', lambda: fe.request('hello', timeout=0.5)),
        ):
            try:
                print(f'{name}: worked: {call()!r}')
            except fe.VmiError as error:
                print(f'{name}: {type(error).__name__} {error.code}')
        fe.exit()
