"""A network that delays and loses packets, between two network namespaces, in user space: not every kernel
has netem.
"""

import ctypes
import fcntl
import heapq
import multiprocessing
import os
import random
import select
import struct
import subprocess
import time

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000


def enter(namespace):
    """Puts this process into a network namespace of `ip netns`."""
    file = os.open(f'/run/netns/{namespace}', os.O_RDONLY)
    if ctypes.CDLL(None, use_errno=True).setns(file, 0) != 0:
        raise OSError(ctypes.get_errno(), f'setns {namespace}')
    os.close(file)


def _tun(namespace, address):
    enter(namespace)
    device = os.open('/dev/net/tun', os.O_RDWR)
    fcntl.ioctl(device, TUNSETIFF, struct.pack('16sH', b'line0', IFF_TUN | IFF_NO_PI))
    for command in (f'addr add {address}/24 dev line0', 'link set line0 up', 'link set lo up'):
        subprocess.run(['ip', *command.split()], check=True)
    return device


def _forward(namespaces, addresses, delay, loss, cut, ready):
    ends = [_tun(namespace, address) for namespace, address in zip(namespaces, addresses)]
    ready.set()
    chance, waiting = random.Random(1), []
    while True:
        timeout = max(0, waiting[0][0] - time.monotonic()) if waiting else None
        for end in select.select(ends, [], [], timeout)[0]:
            packet = os.read(end, 70000)
            if not cut.is_set() and chance.random() >= loss:
                heapq.heappush(
                    waiting, (time.monotonic() + delay, len(waiting), ends[1 - ends.index(end)], packet)
                )
        while waiting and waiting[0][0] <= time.monotonic():
            _, _, to, packet = heapq.heappop(waiting)
            os.write(to, packet)


class BadNetwork:
    """Namespaces `here` and `there`, 10.99.0.1 and 10.99.0.2. `cut` is an Event: nothing passes while it is
    set.
    """

    def __init__(self, delay, loss):
        self.here, self.there = f'fh{os.getpid()}', f'ft{os.getpid()}'
        self.addresses = ('10.99.0.1', '10.99.0.2')
        for namespace in (self.here, self.there):
            subprocess.run(['ip', 'netns', 'add', namespace], check=True)
        self.cut, ready = multiprocessing.Event(), multiprocessing.Event()
        self.forwarder = multiprocessing.Process(
            target=_forward,
            daemon=True,
            args=((self.here, self.there), self.addresses, delay, loss, self.cut, ready),
        )
        self.forwarder.start()
        assert ready.wait(10)

    def close(self):
        self.forwarder.kill()
        self.forwarder.join()
        for namespace in (self.here, self.there):
            subprocess.run(['ip', 'netns', 'delete', namespace], check=True)
