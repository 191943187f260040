"""Scans the VM's memory with YARA rules, physical address by physical address, and prints what matches where.

    furnace app -c apps/yara_scan/app --forensic --u2 ... --add rules.yar --vmi ...

The rules lie in rules.yar beside the app; with metadata, in the file of that name. Each match is one line:
rule, physical address, length, and the text as it is there. A match that two pieces of memory share is found;
each is printed once.
"""

import os

import yara

import fe

PIECE = 4 << 20
SHARED = 64 << 10  # of two pieces in a row: as long as what a rule matches may be
HOLES = 4 << 30  # of RAM: on a PC they are below 4 GiB


class App:
    def __init__(self, ctx):
        self.rules = yara.compile(os.path.join(os.path.dirname(__file__), ctx['metadata'] or 'rules.yar'))
        self.size, self.scanned, self.address, self.matches = fe.checked.get_memsize(), 0, 0, 0
        # A piece at every turn of the loop, so that signals and messages are heeded in between.
        fe.event_register({'event_type': fe.TIMER, 'time_value': 0.0, 'callback': self.turn})

    def turn(self, _):
        if self.scanned >= self.size or self.address >= self.size + HOLES:
            print(f'{self.scanned >> 20} MB scanned, {self.matches} matches', flush=True)
            return fe.exit()
        data = fe.read_pa(self.address, PIECE + SHARED)
        self.scan(data)
        self.scanned += min(len(data), PIECE)
        # What is read ends where RAM does: after it may be a hole.
        self.address += PIECE if len(data) >= PIECE else max(len(data) + 4095 & ~4095, 1 << 20)

    def scan(self, data):
        for match in self.rules.match(data=data):
            for offset, _, matched in match.strings:
                if offset < PIECE:  # else the next piece has it
                    self.matches += 1
                    print(
                        f'{match.rule} {self.address + offset:#x} {len(matched)} {matched[:60]!r}', flush=True
                    )
