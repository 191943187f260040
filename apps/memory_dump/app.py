"""Sends the VM's memory to the backend: compressed, with a hash for every piece, and taken up again where it
was left.

    furnace app -c apps/memory_dump/app --u2 ... [--md paused]

The backend is apps/memory_dump/backend. With metadata 'paused' the guest is paused meanwhile, so that the
dump is of one moment.
"""

import base64
import hashlib
import json
import zlib

import fe

PIECE = 1 << 20
HOLES = 4 << 30  # of RAM: on a PC they are below 4 GiB


class App:
    def __init__(self, ctx):
        self.size = fe.checked.get_memsize()
        self.paused = ctx['metadata'] == 'paused'
        begin = json.loads(fe.request(json.dumps({'do': 'begin', 'vm': fe.get_name(), 'size': self.size})))
        self.address, self.done = begin['address'], begin['done']
        if self.paused:
            fe.checked.pause_vm()
        # A piece at every turn of the loop, so that signals and messages are heeded in between.
        fe.event_register({'event_type': fe.TIMER, 'time_value': 0.0, 'callback': self.turn})

    def turn(self, _):
        if self.done >= self.size or self.address >= self.size + HOLES:
            return self.finish()
        data = fe.read_pa(self.address, min(PIECE, self.size - self.done))
        if data:
            answer = json.loads(
                fe.request(
                    json.dumps(
                        {
                            'do': 'piece',
                            'address': self.address,
                            'hash': hashlib.sha256(data).hexdigest(),
                            'data': base64.b64encode(zlib.compress(data, 1)).decode(),
                        }
                    )
                )
            )
            if 'error' in answer:
                fe.log(f"piece at {self.address:#x}: {answer['error']}: sent again")
                return
            self.done += len(data)
            if self.done // (self.size // 10 or 1) != (self.done - len(data)) // (self.size // 10 or 1):
                fe.log(f'{100 * self.done // self.size} % of {self.size >> 20} MB')
        self.address += PIECE

    def finish(self):
        print(fe.request(json.dumps({'do': 'end'})))
        self.shutdown()
        fe.shutdown()

    def shutdown(self):
        if self.paused:
            self.paused = False
            fe.resume_vm()
