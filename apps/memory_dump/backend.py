"""Takes a memory dump: a raw file with holes, beside a journal of what is in it, so that a dump that broke
off can be continued.

    furnace backend -c apps/memory_dump/backend --ep 127.0.0.1 --et 5563 --ak app.pub --bk be.key

Files lie in $FURNACE_DUMPS, else in the current directory: VM.raw and VM.raw.journal.
"""

import base64
import hashlib
import json
import os
import re
import zlib
from pathlib import Path

import be

PIECE = 1 << 20


class AppBE:
    def __init__(self, ctx):
        self.directory = Path(os.environ.get('FURNACE_DUMPS', '.'))
        self.file = self.journal = None
        be.event_register({'event_type': be.FE, 'callback': self.message})

    def message(self, ctx):
        asked = json.loads(ctx.message)
        if asked['do'] == 'begin':
            return json.dumps(self.begin(asked))
        if self.file is None:
            return json.dumps({'error': 'no dump was begun'})
        return json.dumps(self.piece(asked) if asked['do'] == 'piece' else self.end())

    def begin(self, asked):
        # The name comes from an app: it must not lead out of the directory.
        name = re.sub(r'[^\w.-]', '_', Path(asked['vm']).name) or 'vm'
        path = self.directory / f'{name}.raw'
        self.path, self.size, self.pieces = path, asked['size'], {}
        journal = Path(f'{path}.journal')
        if journal.exists():
            for line in journal.read_text().splitlines():
                address, length, digest = line.split()
                self.pieces[int(address)] = int(length), digest
        self.file = open(path, 'r+b' if path.exists() else 'w+b')
        self.journal = open(journal, 'a')
        last = max(self.pieces, default=-PIECE)
        done = sum(length for length, _ in self.pieces.values())
        if done:
            be.log(f'{path}: continues after {done >> 20} MB')
        return {'address': last + PIECE, 'done': done}

    def piece(self, asked):
        try:
            unpacker = zlib.decompressobj()
            data = unpacker.decompress(base64.b64decode(asked['data'], validate=True), PIECE)
        except (ValueError, zlib.error) as error:
            return {'error': f'damaged: {error}'}
        if hashlib.sha256(data).hexdigest() != asked['hash']:
            return {'error': 'the hash does not fit'}
        self.file.seek(asked['address'])
        self.file.write(data)
        self.file.flush()
        self.pieces[asked['address']] = len(data), asked['hash']
        print(asked['address'], len(data), asked['hash'], file=self.journal, flush=True)
        return {'ok': True}

    def end(self):
        """Reads the file again: every piece must be what was sent."""
        damaged = 0
        for address, (length, digest) in sorted(self.pieces.items()):
            self.file.seek(address)
            damaged += hashlib.sha256(self.file.read(length)).hexdigest() != digest
        done = sum(length for length, _ in self.pieces.values())
        self.file.close()
        self.journal.close()
        self.file = None
        be.log(f'{self.path}: {done >> 20} of {self.size >> 20} MB, {damaged} damaged pieces')
        return {'file': str(self.path), 'bytes': done, 'damaged': damaged}
