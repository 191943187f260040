"""A QEMU without a guest, and its monitor as it is."""

import json
import socket
import subprocess
import uuid

from furnace_testing.waiting import eventually

RAM = 64 << 20


class Monitor:
    """A QMP connection."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))
        self.file = self.socket.makefile('rw')
        self.message()
        self.ask('qmp_capabilities')

    def ask(self, name, **arguments):
        self.send(command(name, **arguments))
        while answer := self.message():
            if 'return' in answer or 'error' in answer:
                return answer
        return {}

    def message(self):
        """The next one, which may be printed over several lines; {} at the end."""
        text = ''
        while line := self.file.readline():
            text += line
            try:
                return json.loads(text)
            except json.JSONDecodeError:
                continue
        return {}

    def send(self, text):
        self.file.write(text)
        self.file.flush()

    def close(self):
        self.file.close()
        self.socket.close()


def command(name, **arguments):
    """A line of QMP."""
    return (
        json.dumps(
            {'execute': name, 'arguments': {key.replace('_', '-'): value for key, value in arguments.items()}}
        )
        + '\n'
    )


def human(line):
    """A line of QMP that runs a command of the human monitor."""
    return command('human-monitor-command', command_line=line)


class Qemu:
    """A QEMU whose guest does nothing, with its RAM for itself unless `options` share it."""

    def __init__(self, directory, *options):
        self.directory = directory
        self.name = f'victim-{uuid.uuid4().hex[:8]}'
        self.process = subprocess.Popen(
            [
                'qemu-system-x86_64',
                '-name',
                self.name,
                '-accel',
                'tcg',
                '-m',
                str(RAM >> 20),
                '-display',
                'none',
                '-nodefaults',
                '-smp',
                '2',
                '-qmp',
                f'unix:{directory}/qmp,server=on,wait=off',
                '-qmp',
                f'unix:{directory}/qmp2,server=on,wait=off',
                *options,
            ]
        )
        eventually(self.answers, 20, 'QEMU')

    def answers(self):
        try:
            Monitor(self.directory / 'qmp2').close()
        except OSError:
            return False
        return True

    def ask(self, name, **arguments):
        monitor = Monitor(self.directory / 'qmp2')
        try:
            return monitor.ask(name, **arguments)
        finally:
            monitor.close()

    def runs(self):
        return self.process.poll() is None and self.ask('query-status')['return']['running']

    def stop(self):
        self.process.kill()
        self.process.wait()
