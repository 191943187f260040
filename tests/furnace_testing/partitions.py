"""The partitions of one app, and apps run on them."""

import itertools
import json
import os
import re
import signal
import socket
import uuid
from pathlib import Path

from furnace_testing.commands import furnace
from furnace_testing.places import FURNACE, ROOT
from furnace_testing.processes import Process

APP = '11111111-1111-1111-1111-111111111111-app'

# Files of tests run side by side: each takes ports of its own, below those that the kernel gives away.
_WORKER = int(re.sub(r'\D', '', os.environ.get('PYTEST_XDIST_WORKER', '0')) or 0)
_ports = itertools.count(10_000 + 2_000 * (_WORKER % 10) + os.getpid() % 100 * 2, 2)


def free_port(count=2):
    """A port that is free, with the ones behind it."""
    while True:
        port = next(_ports)
        for _ in range(count // 2 - 1):
            next(_ports)
        try:
            for each in range(port, port + count):
                with socket.socket() as probe:
                    probe.bind(('127.0.0.1', each))
        except OSError:
            continue
        return port


class Cloud:
    """All partitions of one app, each a real process: of the VM `vm`, with `program` as `furnace`. None runs
    at first.
    """

    def __init__(self, work, vm, driver='qemu', program=FURNACE):
        self.work, self.vm, self.driver, self.program = work, vm, driver, program
        self.keys, self.vmi_dir, self.fac_dir = work / 'keys', work / 'vmi', work / 'app' / 'fac_socket'
        self.fac_dir.mkdir(parents=True)
        furnace('keys', 'new', self.keys)
        self.inside, self.outside = free_port(), free_port()
        self.processes = []

    def start(self, name, *arguments, **options):
        process = Process(self.work, name, name, *arguments, **{'program': self.program, **options})
        self.processes.append(process)
        return process

    def start_vmi(self, *flags, **options):
        vmi = self.start('vmi', self.vm, '--driver', self.driver, '--vmi', self.vmi_dir, *flags, **options)
        vmi.wait_log('serving VM')
        return vmi

    def start_backend(self, code, keys=None):
        keys = keys or self.keys
        return self.start(
            'backend',
            '-c',
            self.source('be', code),
            '-m',
            'AppBE',
            '--ep',
            '127.0.0.1',
            '--et',
            self.outside,
            '--ak',
            keys / 'app.key',
            '--bk',
            keys / 'be.key',
        )

    def start_proxy(self):
        return self.start(
            'proxy',
            '--ak',
            self.keys / 'app.key',
            '--bk',
            self.keys / 'be.key',
            '--ip',
            '127.0.0.1',
            '--it',
            self.inside,
            '--ep',
            '127.0.0.1',
            '--et',
            self.outside,
        )

    def fac_arguments(self, app=APP, keys=None, directory=None):
        """Of a FAC partition that connects to our proxy."""
        place = ('--ip', '127.0.0.1', '--it', self.inside, '--fac', directory or self.fac_dir)
        return ['--u2', app, '--kp', keys or self.keys, *place]

    def start_fac(self, keys=None, quota=None):
        limits = ['--qt', f'_furnace_max_disk:{quota}'] if quota else []
        fac = self.start('fac', *self.fac_arguments(keys=keys), *limits)
        fac.wait_log('serving app')
        return fac

    def app_arguments(self, code, app=APP):
        """Of an app that uses our VMI and FAC partition."""
        sockets = ('--fac', self.fac_dir, '--vmi', self.vmi_dir)
        return ['-c', self.source('app', code), '-m', 'App', '--u2', app, *sockets]

    def start_app(self, code, metadata='', app=APP):
        return self.start('app', *self.app_arguments(code, app), '--md', metadata)

    def source(self, name, code):
        """The file for -c: a path is taken as it is, other text is written to one. Without its suffix."""
        if isinstance(code, Path):
            return code
        path = self.work / f'{name}_{uuid.uuid4().hex[:6]}'
        path.with_suffix('.py').write_text(code)
        return path

    def stop(self):
        for process in reversed(self.processes):
            process.stop(signal.SIGKILL)


def run_example(cloud, name, metadata='', seconds=30):
    """Runs one of apps/ to its end; what it printed."""
    app = cloud.start_app(ROOT / 'apps' / name / 'app', metadata=metadata)
    assert app.wait_end(seconds) == 0, app.log
    assert 'raised' not in app.log, app.log
    return app.out


def run_app(cloud, body, seconds=60, **options):
    """Runs statements as an app's constructor; returns what it prints as JSON with show(...)."""
    lines = '\n'.join('        ' + line for line in body.strip().splitlines())
    code = (
        'import fe, json, time\nshow = lambda v: print(json.dumps(v))\nclass App:\n    def __init__(self,'
        f' ctx):\n{lines}\n        fe.exit()\n'
    )
    app = cloud.start_app(code, **options)
    status = app.wait_end(seconds)
    assert status == 0, '\n'.join(each.log[-3000:] for each in [app, *cloud.processes])
    return [json.loads(line) for line in app.out.splitlines()]
