"""Lines home for tests: what apps and backends on them do, and how they are put up."""

import re
import shutil
import socket

import zmq

import peers
from furnace_testing import eventually, furnace

# Writes what it hears to a file; says 'end' to all when there is a file beside that.
RECORDING_BACKEND = '''
import be, os
HEARD = %r
class AppBE:
    def __init__(self, ctx):
        be.event_register({'event_type': be.FE, 'callback': self.message})
        be.event_register({'event_type': be.TIMER, 'time_value': 0.2, 'callback': self.tick})
    def tick(self, _):
        if os.path.exists(HEARD + '.end'): be.broadcast('end')
    def message(self, ctx):
        with open(HEARD, 'a') as file:
            file.write(f'{ctx.ident} {ctx.message} {ctx.id} {ctx.traceparent}\\n')
        if ctx.message == 'notify me':
            be.notify(ctx.ident, 'for ' + ctx.ident)
        return 'echo'
'''


def metrics_of(path):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        text = b''
        while piece := connection.recv(65536):
            text += piece
    return text.decode()


def lines_of(file):
    return file.read_text().splitlines() if file.exists() else []


class Line:
    """A blind proxy, and a backend of two apps behind it."""

    def __init__(self, sim, work):
        self.sim, self.work = sim, work
        self.heard = work / 'heard'
        self.apps = work / 'apps'
        self.apps.mkdir()
        self.keys = {}
        for app in ('one-app', 'two-app'):
            directory = self.keys[app] = work / app
            furnace('keys', 'new', directory, '--app', app)
            (directory / 'be.pub').write_bytes((sim.keys / 'be.pub').read_bytes())
            (self.apps / f'{app}.pub').write_bytes((directory / 'app.pub').read_bytes())
        self.backend = sim.start(
            'backend',
            '-c',
            sim.source('be', RECORDING_BACKEND % str(self.heard)),
            '--ep',
            '127.0.0.1',
            '--et',
            sim.outside,
            '--apps',
            self.apps,
            '--bk',
            sim.keys / 'be.key',
            '--router',
            '--metrics',
            work / 'be.metrics',
        )
        self.backend.wait_log('listening')
        self.proxy = sim.start(
            'proxy',
            '--blind',
            '--ip',
            '127.0.0.1',
            '--it',
            sim.inside,
            '--ep',
            '127.0.0.1',
            '--et',
            sim.outside,
        )

    def fac(self, app, blind=True):
        directory = self.work / app / 'fac_socket'
        fac = self.sim.start(
            'fac',
            *self.sim.fac_arguments(app=app, keys=self.keys[app], directory=directory),
            *(['--blind'] if blind else []),
        )
        fac.wait_log('connected to the backend')
        return fac, directory

    def app(self, app, directory, body):
        code = 'import fe, json\nclass App:\n    def __init__(self, ctx):\n' + ''.join(
            f'        {line}\n' for line in body.splitlines()
        )
        process = self.sim.start(
            'app',
            '-c',
            self.sim.source('app', code),
            '--u2',
            app,
            '--fac',
            directory,
            '--vmi',
            self.sim.vmi_dir,
        )
        return process

    def metric(self, name):
        return int(
            re.search(rf'^furnace_backend_{name} (\d+)$', metrics_of(self.work / 'be.metrics'), re.M)[1]
        )


def dealer(line, app, identity):
    """A raw peer with an app's key, as code of a tenant could be one."""
    peer = peers.socket_of(zmq.DEALER, 1500, identity=identity, **peers.client_of(line.keys[app]))
    peer.connect(f'tcp://127.0.0.1:{line.sim.inside}')
    return peer


class KeptApart:
    """Each process has a directory of keys of its own, as on hosts of their own."""

    def __init__(self, sim, work, blind):
        self.sim, self.blind, self.heard = sim, blind, work / 'heard'
        self.made = work / 'made'
        furnace('keys', 'new', self.made)
        self.places = {name: work / name for name in ('at-fac', 'at-proxy', 'at-backend')}
        for place in self.places.values():
            place.mkdir()
        self.hand_out('at-fac', 'app.key', 'be.pub')
        self.hand_out('at-proxy', 'app.key', 'be.key')
        self.hand_out('at-backend', 'app.pub', 'be.key')

    def hand_out(self, place, *names):
        for name in names:
            new = self.places[place] / f'{name}.new'
            shutil.copy(self.made / name, new)
            new.rename(self.places[place] / name)

    def start_backend(self):
        keys = self.places['at-backend']
        backend = self.sim.start(
            'backend',
            '-c',
            self.sim.source('be', RECORDING_BACKEND % str(self.heard)),
            '--ep',
            '127.0.0.1',
            '--et',
            self.sim.outside,
            '--ak',
            keys / 'app.pub',
            '--bk',
            keys / 'be.key',
            *(['--router'] if self.blind else []),
        )
        backend.wait_log('listening')
        return backend

    def start_proxy(self):
        keys = self.places['at-proxy']
        how = ['--blind'] if self.blind else ['--ak', keys / 'app.key', '--bk', keys / 'be.key']
        return self.sim.start(
            'proxy',
            *how,
            '--ip',
            '127.0.0.1',
            '--it',
            self.sim.inside,
            '--ep',
            '127.0.0.1',
            '--et',
            self.sim.outside,
        )

    def start_fac(self):
        fac = self.sim.start(
            'fac', *self.sim.fac_arguments(keys=self.places['at-fac']), *(['--blind'] if self.blind else [])
        )
        fac.wait_log('connected to the')
        return fac

    def wait_for_more(self):
        """Messages of the app pass, of all kinds."""
        before = len(lines_of(self.heard))
        eventually(
            lambda: {line.split(' ')[1] for line in lines_of(self.heard)[before:]}
            >= {'durable', 'once', 'question'},
            10,
            'messages',
        )
