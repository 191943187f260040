"""Prints the kind of error that each call to its VM fails with."""

import fe


class App:
    def __init__(self, ctx):
        for name, call in (
            ('symbol', lambda: fe.checked.lookup_symbol('no_such_symbol')),
            ('page', lambda: fe.checked.read_64_va(0x10, 0)),
            ('physical', lambda: fe.checked.read_64_pa(1 << 50)),
            ('process', lambda: fe.checked.read_64_va(0x1000, 99999999)),
            ('write', lambda: fe.checked.write_8_va(fe.lookup_symbol('jiffies'), 0, 1)),
            (
                'batch',
                lambda: fe.batch([{'type': 'READ_64_VA', 'args': {'vaddr': 1}, 'link': (5, 0, 0, fe.F_ADD)}]),
            ),
        ):
            try:
                call()
                print(name, 'worked')
            except fe.VmiError as error:
                print(name, type(error).__name__, error.code)
        print('values', fe.read_64_va(0x10, 0), fe.lookup_symbol('no_such_symbol'))
        failed = fe.batch([{'type': 'READ_64_VA', 'label': 'a', 'args': {'vaddr': 0x10, 'pid': 0}}])['a']
        print('answer', failed['status'], failed['code'])
        print('many', type(fe.read_many([(0x10, 8)])[0]).__name__)
        print(
            'kinds', issubclass(fe.Gone, fe.Unavailable), issubclass(fe.Busy, fe.VmiError), fe.VmiError.code
        )
        fe.exit()
