"""Peers of Furnace 1.0, made of nothing but ZeroMQ and the messages that the protocol fixes (wire.md sections
2 and 3).
"""

import importlib.util
import subprocess
import tempfile
import threading
from pathlib import Path

import zmq
import zmq.auth

FACILITIES = '''
syntax = "proto2";
package facilities;
message Get { optional string key = 1; }
message Get_ret { optional string key = 1; optional string value = 2; optional uint32 result = 3; }
message Set { optional string key = 1; optional string value = 2; }
message Set_ret { optional string key = 1; optional uint32 result = 2; }
message Be_msg { optional uint32 status = 1; optional string value = 2; }
message Be_msg_ret { optional uint32 status = 1; optional string value = 2; }
message FacMessage {
  enum Type { GET = 1; SET = 2; BE_MSG = 3; GET_RET = 4; SET_RET = 5; BE_MSG_RET = 6; }
  repeated Type type = 1;
  repeated Get get = 2;
  repeated Set set = 3;
  repeated Be_msg be_msg = 4;
  repeated Get_ret get_ret = 5;
  repeated Set_ret set_ret = 6;
  repeated Be_msg_ret be_msg_ret = 7;
}
'''


def _compiled():
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / 'facilities_1_0.proto').write_text(FACILITIES)
        subprocess.run(
            ['protoc', f'--proto_path={directory}', f'--python_out={directory}', 'facilities_1_0.proto'],
            check=True,
        )
        spec = importlib.util.spec_from_file_location(
            'facilities_1_0_pb2', Path(directory) / 'facilities_1_0_pb2.py'
        )
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.FacMessage


FacMessage = _compiled()


def be_msg(text):
    message = FacMessage(type=[FacMessage.BE_MSG])
    message.be_msg.add(status=0, value=text)
    return message.SerializeToString()


def text_of(body):
    message = FacMessage.FromString(body)
    assert list(message.type) == [FacMessage.BE_MSG], message
    return message.be_msg[0].value


def socket_of(kind, timeout=10_000, **options):
    made = zmq.Context.instance().socket(kind)
    made.linger, made.rcvtimeo, made.sndtimeo = 0, timeout, timeout
    for name, value in options.items():
        setattr(made, name, value)
    return made


def client_of(keys):
    """Options of a CURVE client that has the app's key."""
    public, secret = zmq.auth.load_certificate(str(keys / 'app.key'))
    return {
        'curve_publickey': public,
        'curve_secretkey': secret,
        'curve_serverkey': zmq.auth.load_certificate(str(keys / 'be.pub'))[0],
    }


def _server_of(keys):
    public, secret = zmq.auth.load_certificate(str(keys / 'be.key'))
    return {'curve_publickey': public, 'curve_secretkey': secret, 'curve_server': True}


class App:
    """The three sockets of an app at its FAC partition; with keys, those of a FAC partition at its proxy."""

    def __init__(self, app, router, publisher, keys=None):
        curve = client_of(keys) if keys else {}
        self.calls = socket_of(zmq.REQ, identity=f'{app}-r'.encode(), **curve)
        self.messages = socket_of(zmq.DEALER, identity=f'{app}-d'.encode(), **curve)
        self.broadcasts = socket_of(zmq.SUB, **curve)
        self.broadcasts.subscribe(b'')
        self.calls.connect(router)
        self.messages.connect(router)
        self.broadcasts.connect(publisher)

    def request(self, text):
        self.calls.send(be_msg(text))
        answer = FacMessage.FromString(self.calls.recv())
        assert list(answer.type) == [FacMessage.BE_MSG_RET], answer
        return answer.be_msg_ret[0].status, answer.be_msg_ret[0].value

    def notify(self, text):
        self.messages.send(be_msg(text))

    def next_message(self):
        return text_of(self.messages.recv())

    def next_broadcast(self):
        return text_of(self.broadcasts.recv())

    def close(self):
        for socket in (self.calls, self.messages, self.broadcasts):
            socket.close()


class _Served(threading.Thread):
    """A thread that owns its sockets, which `serve` reads from."""

    def __init__(self):
        super().__init__(daemon=True)
        self._stopped = threading.Event()
        self._opened = threading.Event()

    def run(self):
        sockets = self.open()
        self._opened.set()
        poller = zmq.Poller()
        for socket in sockets:
            poller.register(socket, zmq.POLLIN)
        while not self._stopped.is_set():
            for socket, _ in poller.poll(20):
                self.serve(socket, socket.recv_multipart())
        for socket in sockets:
            socket.close()

    def start(self):
        super().start()
        self._opened.wait()
        return self

    def close(self):
        self._stopped.set()
        self.join()


class Proxy(_Served):
    def __init__(self, keys, inside, outside):
        super().__init__()
        self._keys, self._inside, self._outside = keys, inside, outside

    def open(self):
        self._router, self._publisher = socket_of(zmq.ROUTER, **_server_of(self._keys)), socket_of(
            zmq.PUB, **_server_of(self._keys)
        )
        self._dealer, self._subscriber = socket_of(zmq.DEALER, **client_of(self._keys)), socket_of(
            zmq.SUB, **client_of(self._keys)
        )
        self._subscriber.subscribe(b'')
        for offset, (bound, connected) in enumerate(
            ((self._router, self._dealer), (self._publisher, self._subscriber))
        ):
            bound.bind(f'tcp://127.0.0.1:{self._inside + offset}')
            connected.connect(f'tcp://127.0.0.1:{self._outside + offset}')
        return self._router, self._dealer, self._subscriber, self._publisher

    def serve(self, socket, frames):
        towards = {self._router: self._dealer, self._dealer: self._router, self._subscriber: self._publisher}
        towards[socket].send_multipart(frames)


class Backend(_Served):
    """Answers 'echo ...'; says what it is asked to say. `heard`: (identity, whether it was a request,
    text).
    """

    def __init__(self, keys, port):
        super().__init__()
        self._keys, self._port = keys, port
        self.heard = []

    def open(self):
        self._dealer, self._publisher = socket_of(zmq.DEALER, **_server_of(self._keys)), socket_of(
            zmq.PUB, **_server_of(self._keys)
        )
        self._dealer.bind(f'tcp://127.0.0.1:{self._port}')
        self._publisher.bind(f'tcp://127.0.0.1:{self._port + 1}')
        return self._dealer, self._publisher

    def serve(self, socket, frames):
        identity, *empty, body = frames
        assert socket is self._dealer and empty in ([], [b'']), frames
        text = text_of(body)
        self.heard.append((identity.decode(), bool(empty), text))
        if text == 'notify me':
            self._dealer.send_multipart([identity[:-2] + b'-d', be_msg('for you')])
        elif text == 'tell all':
            self._publisher.send(be_msg('for all'))
        if empty:
            answer = FacMessage(type=[FacMessage.BE_MSG_RET])
            answer.be_msg_ret.add(status=0, value=f'echo {text}')
            self._dealer.send_multipart([identity, b'', answer.SerializeToString()])
