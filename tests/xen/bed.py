"""A Xen host on an emulated machine: Debian's hypervisor, a dom0 with our partitions in it, a PV and a PVH
guest.

Nothing is installed on the machine it runs on: the packages are fetched (apt-get download) and unpacked
beside the build.
"""

import contextlib
import gzip
import lzma
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machines import MACHINES, Amd, TooSlow

PACKAGES = (
    'xen-hypervisor-4.17-amd64',
    'xen-utils-4.17',
    'libxenmisc4.17',
    'libxencall1',
    'libxendevicemodel1',
    'libxenevtchn1',
    'libxenforeignmemory1',
    'libxengnttab1',
    'libxenhypfs1',
    'libxenstore4',
    'libxentoolcore1',
    'libxentoollog1',
    'libyajl2',
)
MODULES = ('xen-privcmd', 'xen-evtchn', 'xen-gntdev', 'xen-gntalloc', 'xenfs', 'e1000')
TOOLS = ('xenstored', 'xen-init-dom0', 'xenconsoled', 'xenconsole', 'xl')

ATTACKS = Path(__file__).resolve().parents[1] / 'security' / 'attacks'

DOM0_INIT = '''#!/bin/busybox sh
if [ "$1" != again ]; then  # bubblewrap can't leave the root that the kernel begins with
  /bin/busybox mkdir /new; /bin/busybox mount --bind / /new; cd /new
  /bin/busybox mount --move . /; exec /bin/busybox chroot . /init again
fi
/bin/busybox --install -s /bin
export PATH=/bin:/opt/furnace/bin:/usr/lib/xen-4.17/bin LD_LIBRARY_PATH=/lib/x86_64-linux-gnu:/usr/lib/x86_64-linux-gnu
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm /run/xen /run/xenstored /var/lib/xen /var/lib/xenstored /var/log/xen/console /tmp /root
mount -t devpts pts /dev/pts; mount -t tmpfs shm /dev/shm; mount -t tmpfs tmp /tmp
mount -t cgroup2 cgroup /sys/fs/cgroup; echo +cpu +memory +pids > /sys/fs/cgroup/cgroup.subtree_control
for module in /modules/*.ko; do insmod $module; done
mount -t xenfs xenfs /proc/xen
hostname dom0
ip link set lo up; ip link set eth0 up; ip address add 10.0.2.15/24 dev eth0; ip route add default via 10.0.2.2
xenstored --pid-file /run/xenstored/pid
xen-init-dom0
xenconsoled --pid-file=/run/xen/xenconsoled.pid --log=guest --log-dir=/var/log/xen/console
nc -ll -p 5000 -e /bin/sh &
echo DOM0 READY
while true; do sleep 1000; done
'''

# The witness: says on its console who runs, again and again.
GUEST_INIT = '''#!/bin/busybox sh
/bin/busybox --install -s /bin
hostname guest
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
mkdir -p /tmp
echo 0 > /proc/sys/kernel/kptr_restrict
echo "FACTS $(grep ' init_task$' /proc/kallsyms | cut -d' ' -f1) $(grep stack /proc/1/maps | cut -d' ' -f1)"
while true; do
  echo "BEGIN $(cut -d" " -f1 /proc/uptime) $(hostname)"; ps -o pid,ppid,comm; echo "END"
  for i in 1 2 3 4 5; do /bin/true; done
  /bin/ask_for_attention
  sleep 1
done
'''

GUESTS = ('pv', 'pvh')


def guest_configuration(name, machine):
    lines = f'name = "{name}"\nramdisk = "/guest/initrd"\nmemory = 256\nvcpus = 1\n'
    if name == 'pv':
        return lines + 'kernel = "/guest/vmlinux"\nextra = "console=hvc0 quiet cryptomgr.notests"\n'
    return (
        lines + 'type = "pvh"\nkernel = "/guest/vmlinux"\nextra = "console=hvc0 quiet cryptomgr.notests'
        f' {machine.guest_options}"\n{machine.guest_lines}'
    )


class Archive:
    """A cpio archive (newc) as the kernel unpacks them."""

    def __init__(self):
        self._parts, self._known, self._inode = [], set(), 0

    def _entry(self, name, mode, content=b''):
        self._inode += 1
        fields = (self._inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        head = b'070701' + b''.join(b'%08x' % field for field in fields) + name.encode() + b'\0'
        self._parts.append(head + b'\0' * (-len(head) % 4) + content + b'\0' * (-len(content) % 4))

    def _directories(self, name):
        for parent in reversed(Path(name).parents):
            if str(parent) not in ('.', '/') and str(parent) not in self._known:
                self._known.add(str(parent))
                self._entry(str(parent), stat.S_IFDIR | 0o755)

    def directory(self, name):
        self._directories(name + '/x')

    def file(self, name, content, mode=0o755):
        name = name.lstrip('/')
        if name in self._known:
            return
        self._known.add(name)
        self._directories(name)
        self._entry(name, stat.S_IFREG | mode, content if isinstance(content, bytes) else content.encode())

    def link(self, name, target):
        name = name.lstrip('/')
        if name in self._known:
            return
        self._known.add(name)
        self._directories(name)
        self._entry(name, stat.S_IFLNK | 0o777, target.encode())

    def copy(self, source, name=None):
        """A file with the name it has here, or another one."""
        self.file(
            name or str(source), Path(source).read_bytes(), 0o755 if os.access(source, os.X_OK) else 0o644
        )

    def tree(self, source, name, ignore=()):
        for path in sorted(Path(source).rglob('*')):
            inside = f'{name}/{path.relative_to(source)}'
            if any(part in ignore for part in path.parts):
                continue
            if path.is_symlink():
                self.link(inside, os.readlink(path))
            elif path.is_dir():
                self.directory(inside)
            elif path.is_file():
                self.copy(path, inside)

    def program(self, source, name=None, libraries=None):
        """An executable without what is for debuggers, and the libraries it is linked with."""
        with tempfile.NamedTemporaryFile() as stripped:
            subprocess.run(['strip', '-o', stripped.name, source], check=True)
            self.file(name or str(source), Path(stripped.name).read_bytes())
        environment = dict(os.environ, LD_LIBRARY_PATH=str(libraries)) if libraries else None
        shown = subprocess.run(['ldd', source], capture_output=True, text=True, env=environment).stdout
        for found in re.findall(r'=> (/\S+)|^\s+(/\S+) \(', shown, re.M):
            path = Path(found[0] or found[1])
            inside = (
                f'/usr/lib/x86_64-linux-gnu/{path.name}'
                if 'ld-linux' not in path.name
                else '/lib64/ld-linux-x86-64.so.2'
            )
            self.file(inside, path.read_bytes())

    def bytes(self):
        self._entry('TRAILER!!!', 0)
        return b''.join(self._parts)


def newest(package):
    """The package that a meta package stands for."""
    shown = subprocess.run(
        ['apt-cache', 'depends', package], capture_output=True, text=True, check=True
    ).stdout
    return re.search(r'Depends: (linux-image-\d\S+)', shown)[1]


def unpack(cache, package):
    """The package's files, unpacked once."""
    directory = cache / package
    if not directory.is_dir():
        work = cache / f'.{package}.{os.getpid()}'
        work.mkdir(parents=True)
        subprocess.run(['apt-get', 'download', package], cwd=work, check=True, capture_output=True)
        subprocess.run(['dpkg-deb', '-x', next(work.glob('*.deb')), work / 'root'], check=True)
        try:
            (work / 'root').rename(directory)
        except OSError:
            pass  # somebody else was faster
        shutil.rmtree(work, ignore_errors=True)
    return directory


def elf_inside(vmlinuz):
    """The kernel's ELF file (it lies in bzImage as XZ or another stream): a PVH guest needs it, and an
    emulated CPU unpacks it for a minute.
    """
    content = vmlinuz.read_bytes()
    start = content.find(b'\xfd7zXZ\0')
    assert start >= 0, f'{vmlinuz}: no XZ stream in it'
    return lzma.LZMADecompressor().decompress(content[start:])


def compiled(source, program, *options):
    """A program in C that needs no library."""
    subprocess.run(
        ['gcc', '-O1', '-static', '-nostdlib', '-fno-stack-protector', *options, '-o', program, source],
        check=True,
    )
    return program


class Bed:
    def __init__(self, directory, cache, build, root, machine=None, guests=GUESTS, confined=True):
        self.directory, self.cache, self.build, self.root = (
            Path(directory),
            Path(cache),
            Path(build),
            Path(root),
        )
        self.machine, self.guests, self.confined = machine or Amd(), guests, confined
        self.without_walls = (
            '' if confined else '--unconfined 2> /dev/null'
        )  # for commands that have walls of their own
        self.process = self.port = self.kernel = None

    # What is booted.

    def prepare(self):
        self.directory.mkdir(parents=True, exist_ok=True)
        unpacked = {package: unpack(self.cache, package) for package in PACKAGES}
        self.kernel = kernel = unpack(self.cache, newest('linux-image-amd64'))
        xen = next((unpacked['xen-hypervisor-4.17-amd64'] / 'boot').glob('xen-*.gz'))
        (self.directory / 'xen').write_bytes(gzip.decompress(xen.read_bytes()))
        vmlinux = self.directory / 'vmlinux'
        vmlinux.write_bytes(elf_inside(next((kernel / 'boot').glob('vmlinuz-*'))))
        subprocess.run(['strip', vmlinux], check=True)
        (self.directory / 'dom0').write_bytes(self._dom0(unpacked, kernel))

    def archive(self, files, modules=()):
        """A first root: busybox, these files, and modules of dom0's kernel in this order."""
        archive = Archive()
        archive.copy(shutil.which('busybox'), 'bin/busybox')
        for name, content in files.items():
            archive.file(name, content)
        for directory in ('proc', 'sys', 'dev', 'tmp'):
            archive.directory(directory)
        known = {path.stem: path for path in self.kernel.rglob('*.ko')}
        for number, name in enumerate(modules):
            archive.copy(known[name], f'modules/{number:02}-{name}.ko')
        return archive.bytes()

    def _dom0(self, unpacked, kernel):
        archive = Archive()
        archive.file('init', DOM0_INIT)
        archive.copy(shutil.which('busybox'), 'bin/busybox')
        for directory in ('proc', 'sys', 'dev', 'etc/xen', 'tmp', 'var/log/xen', 'run'):
            archive.directory(directory)
        archive.link('lib/x86_64-linux-gnu', '/usr/lib/x86_64-linux-gnu')
        archive.link('var/run', '/run')
        archive.file('etc/xen/xl.conf', 'autoballoon="off"\n', 0o644)
        archive.file(
            'etc/passwd', 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n', 0o644
        )
        archive.file('etc/group', 'root:x:0:\nnogroup:x:65534:\n', 0o644)
        libraries = self.directory / 'libraries'
        libraries.mkdir(exist_ok=True)
        for package, directory in unpacked.items():
            for library in directory.rglob('*.so*'):
                if package.startswith('lib'):
                    shutil.copy(library, libraries / library.name, follow_symlinks=True)
        tools = unpacked['xen-utils-4.17'] / 'usr/lib/xen-4.17/bin'
        for tool in TOOLS:
            archive.program(tools / tool, f'usr/lib/xen-4.17/bin/{tool}', libraries)
        archive.link(
            'usr/lib/x86_64-linux-gnu/libxenstore.so', 'libxenstore.so.4'
        )  # of that name LibVMI opens it
        modules = {path.stem: path for path in kernel.rglob('*.ko')}
        for number, name in enumerate(MODULES):
            archive.copy(modules[name], f'modules/{number:02}-{name}.ko')
        archive.copy(self.directory / 'vmlinux', 'guest/vmlinux')
        archive.file('guest/initrd', self._guest(), 0o644)
        for name in self.guests:
            archive.file(f'guest/{name}.cfg', guest_configuration(name, self.machine), 0o644)
        self.add_programs(archive)
        return archive.bytes()

    def _guest(self):
        asking = compiled(Path(__file__).parent / 'ask_for_attention.c', self.directory / 'ask_for_attention')
        return self.archive({'init': GUEST_INIT, 'bin/ask_for_attention': asking.read_bytes()})

    def add_programs(self, archive):
        """Ours, and what they need."""
        for program in (
            'furnace',
            'furnace-vmi',
            'furnace-app',
            'furnace-fac',
            'furnace-proxy',
            'furnace-reader',
            'furnace-enter',
        ):
            archive.program(self.build / 'bin' / program, f'opt/furnace/bin/{program}')
        archive.tree(self.root / 'policies', 'opt/furnace/policies')
        if self.confined:
            self._add_walls(archive)
        archive.tree(self.root / 'python', 'opt/furnace/python', ignore=('__pycache__',))
        archive.tree(self.root / 'apps', 'opt/furnace/apps', ignore=('__pycache__',))
        archive.tree(
            '/usr/lib/python3.11',
            'usr/lib/python3.11',
            ignore=(
                '__pycache__',
                'test',
                'idlelib',
                'lib2to3',
                'pydoc_data',
                'config-3.11-x86_64-linux-gnu',
            ),
        )

    def _add_walls(self, archive):
        """What partitions are confined with, and what tries them."""
        archive.program(shutil.which('bwrap'), 'bin/bwrap')
        for kind in ('vmi', 'app', 'fac', 'reader'):  # dom0 has no packages to build them from
            made = self.directory / kind
            subprocess.run(
                [self.build / 'bin' / 'furnace', 'rootfs', 'build', kind, '-o', made],
                check=True,
                stdout=subprocess.DEVNULL,
            )
            subprocess.run(['strip', made / 'usr' / 'bin' / f'furnace-{kind}'], check=True)
            archive.tree(made, f'opt/furnace/{kind}_filesystem')
        for attack in self.attacks(self.root):
            archive.copy(
                compiled(attack, self.directory / f'attack-{attack.stem}', '-DPROGRAM', f'-I{ATTACKS}'),
                f'attacks/{attack.stem}',
            )

    @staticmethod
    def attacks(root):
        """Those of a VMI partition that somebody has taken over: of Xen, and those of the other partitions
        that are machine code.
        """
        return sorted([*(root / 'tests' / 'xen' / 'attacks').glob('*.c'), *ATTACKS.glob('native_*.c')])

    # The machine.

    def start(self, seconds=600, patience=None):
        """To a dom0 that answers; TooSlow if that takes more seconds than `patience`."""
        with socket.socket() as probe:
            probe.bind(('127.0.0.1', 0))
            self.port = probe.getsockname()[1]
        log = self.directory / 'console.log'
        log.unlink(missing_ok=True)
        self.process = self.machine.start(self, self.port, log)
        seconds *= self.machine.slowness
        began = time.monotonic()
        end = began + seconds
        while not log.exists() or b'DOM0 READY' not in log.read_bytes() or not self._answers():
            said = (
                log.read_text(errors='replace')[-3000:]
                if log.exists()
                else (self.directory / 'machine.log').read_text()
            )
            assert (
                time.monotonic() < end and self.process.poll() is None
            ), f'no dom0 within {seconds} s:\n{said}'
            if patience and time.monotonic() > began + patience and 'Panic' not in said:
                raise TooSlow(
                    f'this host is too slow for {type(self.machine).__name__} here: no dom0 within'
                    f' {patience} s'
                )
            time.sleep(0.2)
        self.seconds_to_dom0 = time.monotonic() - began

    def _answers(self):
        try:
            return self.run('echo $((6 * 7))', 5) == '42\n'
        except OSError:
            return False

    def run(self, command, seconds=240):
        """What the command prints in dom0. Processes that stay must not hold its output."""
        with socket.create_connection(('127.0.0.1', self.port), timeout=seconds) as shell:
            shell.sendall(f'exec 2>&1\n{command}\nexit\n'.encode())
            text = b''
            while piece := shell.recv(65536):
                text += piece
        return text.decode(errors='replace')

    def start_guests(self, seconds=240):
        for name in self.guests:
            self.run(f'xl create /guest/{name}.cfg', seconds * self.machine.slowness)
        self.run('xl sched-credit2 -d Domain-0 -w 8192')  # guests have what of the CPU nobody waits for
        end = time.monotonic() + seconds * self.machine.slowness
        while not all(self.processes_of(name) for name in self.guests):
            assert time.monotonic() < end, (
                'no guests within'
                f' {seconds} s:\n{self.run("xl list; tail /var/log/xen/console/*; xl dmesg | tail")}'
            )
            time.sleep(0.5)

    @staticmethod
    def console(guest):
        """The file in dom0 with what a guest says."""
        return f'/var/log/xen/console/guest-{guest}.log'

    def turns_of(self, guest):
        """[(uptime, host name, {pid: (parent, name)})] as the guest has said it lately, whole turns alone."""
        said = self.run(f'tail -n 300 {self.console(guest)}').replace('\r', '')
        turns = re.findall(r'BEGIN (\S+) (\S+)\n(.*?)END\n', said, re.S)
        return [
            (
                float(uptime),
                host,
                {
                    int(pid): (int(parent), name)
                    for pid, parent, name in re.findall(r'^\s*(\d+)\s+(\d+)\s+(.+?)\s*$', text, re.M)
                },
            )
            for uptime, host, text in turns
        ]

    def facts_of(self, guest):
        """Where the guest has init_task, and the stack of its init."""
        init_task, stack = re.search(
            r'FACTS (\w+) \w+-(\w+)', self.run(f'grep FACTS {self.console(guest)}')
        ).groups()
        return {'init_task': int(init_task, 16), 'stack': int(stack, 16) - 4096}

    def processes_of(self, guest):
        turns = self.turns_of(guest)
        return turns[-1][2] if turns else None

    @contextlib.contextmanager
    def running(self, patience=None):
        """Prepared and booted, with its guests; it ends with the block."""
        self.prepare()
        try:
            self.start(patience=patience)
            self.start_guests()
            yield self
        finally:
            self.stop()

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()


def main(arguments):
    root = Path(__file__).resolve().parents[2]
    kind = arguments.pop(0)[2:] if arguments and arguments[0] in ('--amd', '--intel') else 'amd'
    machine = MACHINES[kind]()
    if reason := machine.why_not():
        sys.exit(reason)
    with tempfile.TemporaryDirectory(prefix='furnace-xen-', dir='/tmp') as directory:
        bed = Bed(
            directory,
            root / 'build' / 'cache' / 'xen',
            root / 'build',
            root,
            machine,
            GUESTS if kind == 'amd' else ('pvh',),
        )
        print('fetching and unpacking what is missing', flush=True)
        bed.prepare()
        try:
            print('booting Xen and dom0', flush=True)
            bed.start()
            print('starting the guests: ' + ', '.join(bed.guests), flush=True)
            bed.start_guests()
            if arguments:
                print(bed.run(' '.join(arguments), 600), end='')
                return
            print('a shell in dom0 (Ctrl-D ends it, and the bed); try: furnace ps pvh', flush=True)
            while (command := input('dom0# ')) is not None:
                print(bed.run(command, 600), end='', flush=True)
        except EOFError:
            print()
        finally:
            bed.stop()


if __name__ == '__main__':
    main(sys.argv[1:])
