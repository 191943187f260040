"""A partition's process, what it prints, and what it takes."""

import re
import signal
import subprocess
import uuid
from pathlib import Path

from furnace_testing.places import FURNACE
from furnace_testing.waiting import PATIENCE, eventually


def resident_mb(pid):
    """Resident memory of a process in MB, mapped guest RAM not counted."""
    total = guest = 0
    section = ''
    for line in open(f'/proc/{pid}/smaps'):
        if re.match(r'[0-9a-f]+-[0-9a-f]+ ', line):
            section = line
        elif line.startswith('Rss:'):
            total += int(line.split()[1])
            guest += int(line.split()[1]) if section.rstrip().endswith('/ram') else 0
    return (total - guest) / 1024


class Process:
    """A partition's process; its log is a file that can be searched while it runs."""

    def __init__(self, directory, name, *arguments, program=FURNACE, **options):
        self.log_file = Path(directory) / f'{name}-{uuid.uuid4().hex[:6]}.log'
        self.out_file = self.log_file.with_suffix('.out')
        with open(self.log_file, 'w') as log, open(self.out_file, 'w') as out:
            self.process = subprocess.Popen(
                [program, *map(str, arguments)], stdout=out, stderr=log, **options
            )
        self.pid = self.process.pid

    @property
    def log(self):
        return self.log_file.read_text()

    @property
    def out(self):
        return self.out_file.read_text()

    def wait_log(self, pattern, seconds=30):  # the first partition of a kind builds its root
        def found():
            match = re.search(pattern, self.log)
            assert (
                match or self.process.poll() is None or re.search(pattern, self.log)
            ), f'ended with {self.process.returncode} before /{pattern}/:\n{self.log}'
            return match

        return eventually(found, seconds, f'/{pattern}/ in the log:\n{self.log}')

    def wait_out(self, pattern, seconds=30):
        return eventually(
            lambda: re.search(pattern, self.out), seconds, f'/{pattern}/ in the output; log:\n{self.log}'
        )

    def wait_end(self, seconds=10):
        return self.process.wait(seconds * PATIENCE)

    def stop(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(10)


def partition_of(launcher):
    """The process of a partition's program: bubblewrap's child."""

    def children(pid):
        try:
            return [
                int(child)
                for task in Path(f'/proc/{pid}/task').iterdir()
                for child in (task / 'children').read_text().split()
            ]
        except (FileNotFoundError, ProcessLookupError):
            return []

    def is_bubblewrap(pid):
        try:
            return Path(f'/proc/{pid}/comm').read_text() == 'bwrap\n'
        except (FileNotFoundError, ProcessLookupError):
            return False

    def found():
        bubblewrap = [pid for pid in children(launcher) if is_bubblewrap(pid)]
        return [inner for pid in bubblewrap for inner in children(pid)]

    return eventually(found, 10, 'the program of a partition')[0]
