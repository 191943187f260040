"""Reads memory, or its storage, all the time; prints median and maximum of each 20 reads, in seconds."""

import time

import fe


class App:
    def __init__(self, ctx):
        if ctx['metadata'] == 'storage':
            fe.io_set('key', 'value')
            self.read = self.read_storage
        else:
            self.address = fe.lookup_symbol('init_task')
            self.read = self.read_memory
        fe.event_register({'event_type': fe.TIMER, 'time_value': 0.1, 'callback': self.look})

    def read_memory(self):
        fe.read_64_va(self.address, 0)

    def read_storage(self):
        assert 'value' in str(fe.io_get('key'))

    def look(self, _):
        times = []
        for _ in range(20):
            start = time.perf_counter()
            self.read()
            times.append(time.perf_counter() - start)
        print(sorted(times)[10], max(times), flush=True)
