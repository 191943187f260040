"""Test VMs, and a shell in each."""

import base64
import json
import lzma
import re
import socket
import subprocess
import time
import uuid
import warnings
from pathlib import Path

from furnace_testing.commands import furnace
from furnace_testing.kernels import kernel_options, packages
from furnace_testing.places import BUILD, RUN
from furnace_testing.waiting import PATIENCE, eventually


class Guest:
    """A test VM and a shell in it."""

    def __init__(self, name, directory=None):
        self.name = name
        self.directory = directory or Path(RUN) / 'vm' / name
        self.pid = None if directory else int((self.directory / 'pid').read_text())
        self.connect()

    def connect(self):
        """To the console, which serves one at a time."""
        self._console = socket.socket(socket.AF_UNIX)
        self._console.settimeout(60)
        self._console.connect(str(self.directory / 'console'))
        self.meet_the_shell()

    def meet_the_shell(self, seconds=60 * PATIENCE):
        """Waits until a shell answers: what is typed while the guest boots may be lost."""
        text = b''
        end = time.monotonic() + seconds
        self._console.settimeout(1)
        while b'UP!' not in text:
            assert (
                time.monotonic() < end
            ), f'no shell within {seconds} s:\n{text[-2000:].decode(errors="replace")}'
            self._console.sendall(b'stty -echo; PS1=; echo U""P!\n')
            try:
                text += self._console.recv(65536)
            except TimeoutError:
                continue
        self._console.settimeout(60 * PATIENCE)
        self.run('true')

    def give_up_after(self, seconds):
        """Makes `run` raise TimeoutError when the guest prints nothing for so long."""
        self._console.settimeout(seconds * PATIENCE)

    def run(self, command):
        """What the command prints in the guest."""
        marker = uuid.uuid4().hex
        # The marker is written in two pieces, so that the echo of the command does not hold it.
        self._console.sendall(f'echo S""{marker}; {command}; echo E""{marker}\n'.encode())
        text = b''
        while f'E{marker}'.encode() not in text:
            piece = self._console.recv(65536)
            assert piece, f'the console closed during {command!r}'
            text += piece
        shown = text.decode(errors='replace').replace('\r', '')
        return shown.split(f'S{marker}\n')[-1].split(f'E{marker}')[0]

    def push(self, path, content):
        """A file of ours in the guest."""
        self.run(f'rm -f {path} {path}.b')
        text = base64.b64encode(content).decode()
        for i in range(0, len(text), 800):
            self.run(f'echo -n {text[i:i + 800]} >> {path}.b')
        self.run(f'base64 -d {path}.b > {path}; rm {path}.b')

    def qmp(self, command, **arguments):
        """Runs a QMP command on the socket that the partitions leave free."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(self.directory / 'qmp2'))
            stream = connection.makefile('rw')
            stream.readline()
            for number, request in enumerate(
                ({'execute': 'qmp_capabilities'}, {'execute': command, 'arguments': arguments})
            ):
                stream.write(json.dumps(dict(request, id=number)) + '\n')
                stream.flush()
                answer = json.loads(stream.readline())
                while answer.get('id') != number:
                    answer = json.loads(stream.readline())
            assert 'return' in answer, answer
            return answer['return']

    def running(self):
        return self.qmp('query-status')['running']

    def disconnect(self):
        self._console.close()

    def stop(self):
        self.disconnect()
        furnace('vm', 'stop', self.name)


def start_guest(kernel='6.1', append='', **options):
    """Boots a VM and returns it."""
    flags = [part for key, value in options.items() for part in (f'--{key}', value)]
    # A vCPU that TCG leaves behind while others spin boots too slowly, once in hundreds of times: that VM is
    # given up.
    for last in (False, True):
        name = f't{uuid.uuid4().hex[:8]}'
        started = furnace(
            'vm', 'start', name, *kernel_options(kernel), '--append', append, *flags, check=False, timeout=300
        )
        if started.returncode == 0:
            return Guest(name)
        console = Path(RUN) / 'vm' / name / 'console.log'
        log = console.read_text(errors="replace")[-3000:] if console.exists() else ""
        said = f"{started.stdout}{started.stderr}{log}"
        furnace('vm', 'stop', name, check=False)
        assert not last and 'continues to boot' in said, said
        warnings.warn(said)


def start_by_hand(work, *options, monitor='-qmp', machine='pc'):
    """A QEMU without a shared memory backend and with one QMP socket: (its name, its process). Its console is
    work/console.
    """
    donor = start_guest()
    initrd = work / 'initramfs'
    initrd.write_bytes((donor.directory / 'initramfs').read_bytes())
    donor.stop()
    vmlinuz = next((BUILD / 'cache' / 'kernels').glob('linux-image-6.1.*/boot/vmlinuz-*'))
    name = f'hand-{uuid.uuid4().hex[:6]}'
    qemu = subprocess.Popen(
        [
            'qemu-system-x86_64',
            '-name',
            f'guest={name},debug-threads=on',
            '-machine',
            f'{machine},accel=tcg',
            '-cpu',
            'max,-cx16',
            '-m',
            '256',
            '-kernel',
            vmlinuz,
            '-initrd',
            initrd,
            '-append',
            'console=ttyS0 quiet',
            '-nodefaults',
            '-display',
            'none',
            monitor,
            f'unix:{work}/qmp,server=on,wait=off',
            '-serial',
            'chardev:console',
            '-chardev',
            f'socket,id=console,path={work}/console,server=on,wait=off,logfile={work}/serial',
            *options,
        ]
    )
    eventually(
        lambda: (work / 'serial').exists() and b'furnace guest ready' in (work / 'serial').read_bytes(),
        60,
        'boot',
    )
    return name, qemu


def a_module(kernel, work):
    """A small module of a kernel that needs no other."""
    for deb in packages(kernel, work):
        subprocess.run(
            f'dpkg-deb --fsys-tarfile {deb} | '
            'tar -x --wildcards "*/crc7.ko*" "*/crc-itu-t.ko*" "*/cordic.ko*"',
            shell=True,
            cwd=work,
            capture_output=True,
        )
    modules = sorted(work.rglob('*.ko*'), key=lambda file: file.stat().st_size)
    assert modules, 'no module in the kernel package'
    content = modules[0].read_bytes()
    if modules[0].suffix == '.xz':
        content = lzma.decompress(content)
    return content
