"""The emulated machines that a Xen bed runs on: each boots Debian's hypervisor with a dom0 of our making."""

import os
import shutil
import subprocess

XEN_OPTIONS = 'console=com1 com1=115200,8n1 cpuidle=0 noreboot loglvl=info guest_loglvl=info conring_size=64k'

# What dom0 begins with on a machine that reads a disk faster than it loads files at boot.
DISK_INIT = '''#!/bin/busybox sh
/bin/busybox mkdir -p /dev /cd /new
/bin/busybox mount -t devtmpfs dev /dev
for module in /modules/*.ko; do /bin/busybox insmod $module; done
until /bin/busybox mount -t iso9660 -o ro /dev/sr0 /cd 2>/dev/null; do /bin/busybox sleep 0.2; done
/bin/busybox mount -t tmpfs -o size=80% new /new
(cd /new && /bin/busybox cpio -idm < /cd/dom0) 2>/dev/null
/bin/busybox umount /cd
exec /bin/busybox switch_root /new /init again
'''
DISK_MODULES = ('scsi_common', 'scsi_mod', 'libata', 'ata_piix', 'cdrom', 'sr_mod', 'isofs')


# A machine ends with the process that started it, also when that is killed.
TIED = ('setpriv', '--pdeathsig', 'KILL')


class TooSlow(Exception):
    """This host emulates the machine so slowly that a run of all tests has no time for it."""


class Amd:
    """QEMU without virtualization: it emulates SVM and nested page tables, and takes a minute to the
    guests.
    """

    vendor = 'AuthenticAMD'
    # rdtscp: emulated SVM can't decode it.
    guest_lines = 'tsc_mode = "native"\n'
    guest_options = 'clearcpuid=rdtscp'
    slowness = 1

    @staticmethod
    def why_not():
        return None if shutil.which('qemu-system-x86_64') else 'no qemu-system-x86_64: Xen can not be booted'

    def start(self, bed, port, log):
        # -avx: a PV dom0 under QEMU 7.2 loses vector registers now and then.
        return subprocess.Popen(
            [
                *TIED,
                'qemu-system-x86_64',
                '-name',
                f'xen-bed-{os.getpid()}',
                '-machine',
                'q35,accel=tcg',
                '-cpu',
                'EPYC,+svm,+npt,-smap,-smep,-monitor,-avx,-avx2,-fma,-f16c,-xsave',
                '-m',
                '3G',
                '-nodefaults',
                '-display',
                'none',
                '-monitor',
                'none',
                '-serial',
                f'file:{log}',
                '-kernel',
                bed.directory / 'xen',
                '-append',
                f'{XEN_OPTIONS} dom0_mem=1700M smap=0 smep=0',
                '-initrd',
                f'{bed.directory}/vmlinux console=hvc0 quiet cryptomgr.notests,{bed.directory}/dom0',
                '-netdev',
                f'user,id=net,hostfwd=tcp:127.0.0.1:{port}-:5000',
                '-device',
                'e1000,netdev=net',
            ],
            stderr=(bed.directory / 'machine.log').open('w'),
        )


class Intel:
    """Bochs: it emulates VMX and EPT, slowly: two minutes to a guest. Bochs 2.7 of Debian 12 lacks the
    monitor trap flag; one that has it may be named by FURNACE_BOCHS. FURNACE_ALTP2M=0 boots Xen without
    altp2m."""

    vendor = 'GenuineIntel'
    guest_lines = 'altp2m = "external"\n'
    guest_options = ''
    slowness = 5
    dom0_memory = '1000M'

    def __init__(self):
        self.own = os.environ.get('FURNACE_BOCHS')
        self.views = os.environ.get('FURNACE_ALTP2M') != '0'

    @staticmethod
    def why_not():
        missing = [
            each for each in ('bochs', 'grub-mkrescue', 'xorriso', 'mformat') if not shutil.which(each)
        ]
        return f'no {", ".join(missing)}: Xen can not be booted on an emulated Intel CPU' if missing else None

    def start(self, bed, port, log):
        self._make_disk(bed)
        (bed.directory / 'slirp.conf').write_text(
            f'# slirp config\nhostfwd = tcp:127.0.0.1:{port}-10.0.2.15:5000\n'
        )
        (bed.directory / 'rc').write_text('c\n')  # Debian's build begins in its debugger
        (bed.directory / 'bochsrc').write_text(
            '\n'.join(
                (
                    'cpu: model=corei7_skylake_x, count=1, ips=60000000, reset_on_triple_fault=0',
                    'memory: guest=3072, host=2048',
                    'romimage: file=/usr/share/bochs/BIOS-bochs-latest',
                    'vgaromimage: file=/usr/share/vgabios/vgabios.bin',
                    'ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14',
                    f'ata0-master: type=cdrom, path={bed.directory}/disk.iso, status=inserted',
                    'boot: cdrom',
                    'display_library: rfb, options="timeout=0"',
                    f'com1: enabled=1, mode=file, dev={log}',
                    'clock: sync=none, time0=utc',
                    (
                        'e1000: enabled=1, mac=52:54:00:12:34:56, ethmod=slirp,'
                        f' script={bed.directory}/slirp.conf'
                    ),
                    'pci: enabled=1, chipset=i440fx, slot1=e1000',
                    f'log: {bed.directory}/bochs.log',
                    'panic: action=fatal',
                    'error: action=ignore',
                    'info: action=ignore',
                    'debug: action=ignore',
                )
            )
        )
        debugger = [] if self.own else ['-rc', bed.directory / 'rc']
        return subprocess.Popen(
            [*TIED, self.own or 'bochs', '-q', '-f', bed.directory / 'bochsrc', *debugger],
            cwd=bed.directory,
            stdin=subprocess.DEVNULL,
            stdout=(bed.directory / 'machine.log').open('w'),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def _make_disk(self, bed):
        tree = bed.directory / 'disk'
        (tree / 'boot' / 'grub').mkdir(parents=True, exist_ok=True)
        for name in ('xen', 'vmlinux'):
            shutil.copy(bed.directory / name, tree / 'boot')
        os.replace(bed.directory / 'dom0', tree / 'dom0')
        (tree / 'boot' / 'initrd').write_bytes(bed.archive({'init': DISK_INIT}, DISK_MODULES))
        # vpid, apicv: with them Bochs keeps what it knows of other page tables (altp2m).
        options = (
            f'dom0_mem={self.dom0_memory},max:{self.dom0_memory} altp2m={int(self.views)} vpid=0 apicv=0'
        )
        (tree / 'boot' / 'grub' / 'grub.cfg').write_text(
            'set timeout=0\nmenuentry xen {\n'
            f'multiboot /boot/xen {XEN_OPTIONS} {options}\n'
            'module /boot/vmlinux console=hvc0 quiet cryptomgr.notests rodata=off\nmodule /boot/initrd\n}\n'
        )
        subprocess.run(
            ['grub-mkrescue', '-o', bed.directory / 'disk.iso', tree], check=True, capture_output=True
        )
        shutil.rmtree(tree)


MACHINES = {'amd': Amd, 'intel': Intel}
