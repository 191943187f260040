"""read_64_va from Python beside the floor: an empty ZeroMQ REQ/ROUTER round trip with pyzmq, in one run.

Run by bench/run as an app: metadata is the address of an echo server that this file also is (python3
round_trip.py ADDRESS).
"""

import statistics
import sys
import time

import zmq


def echo(address):
    router = zmq.Context.instance().socket(zmq.ROUTER)
    router.bind(address)
    while True:
        router.send_multipart(router.recv_multipart(copy=True))


class App:
    def __init__(self, ctx):
        import fe

        bare = zmq.Context.instance().socket(zmq.REQ)
        bare.connect(ctx['metadata'])
        banner = fe.lookup_symbol('linux_banner')
        floor, call = [], []
        for _ in range(3000):
            start = time.perf_counter()
            bare.send(b'0123456789abcdef')
            bare.recv()
            middle = time.perf_counter()
            fe.read_64_va(banner, 0)
            floor.append(middle - start)
            call.append(time.perf_counter() - middle)
        floor, call = statistics.median(floor) * 1e6, statistics.median(call) * 1e6
        print(
            f'{"read_64_va, Python app":<28} floor {floor:7.1f} us   call {call:7.1f} us   ratio'
            f' {call / floor:.2f}'
        )
        bare.close(0)
        fe.exit()


if __name__ == '__main__':
    echo(sys.argv[1])
