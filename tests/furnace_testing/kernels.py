"""Kernels of Debian's suites, fetched by apt with its own signatures: of this machine's suite, and of others,
with lists and state of their own.
"""

import fcntl
import re
import subprocess
from pathlib import Path

from furnace_testing.places import BUILD

ARCHIVE = 'http://deb.debian.org/debian'
KEYS = '/usr/share/keyrings/debian-archive-keyring.gpg'
CACHE = BUILD / 'cache' / 'kernels'
# What tests call a kernel: the suite, and the package that depends on its newest one.
KERNELS = {
    '5.10': ('bullseye', 'linux-image-cloud-amd64'),
    '5.10-generic': ('bullseye', 'linux-image-amd64'),
    '5.10-rt': ('bullseye', 'linux-image-rt-amd64'),
    '6.1': ('bookworm', 'linux-image-cloud-amd64'),
    '6.1-generic': ('bookworm', 'linux-image-amd64'),
    '6.1-rt': ('bookworm', 'linux-image-rt-amd64'),
    '6.12': ('bookworm', 'linux-image-6.12-cloud-amd64'),
    '6.12-generic': ('trixie', 'linux-image-amd64'),
    '6.12-rt': ('trixie', 'linux-image-rt-amd64'),
    'sid': ('sid', 'linux-image-cloud-amd64'),
    'sid-generic': ('sid', 'linux-image-amd64'),
    'sid-rt': ('sid', 'linux-image-rt-amd64'),
}


def kernel_options(kernel):
    """The options of `furnace vm start` for a kernel of the table."""
    suite, package = KERNELS[kernel]
    return (
        ['--kernel-package', package] if suite == 'bookworm' else ['--kernel', str(vmlinuz(suite, package))]
    )


def vmlinuz(suite, package):
    """The newest kernel of a suite, from the cache or the archive."""
    place = CACHE / f'{suite}-{package}'
    place.mkdir(parents=True, exist_ok=True)
    with open(place / 'lock', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = [*place.rglob('vmlinuz*')]
        if not found:
            fetch(suite, package, place)
            found = [*place.rglob('vmlinuz*')]
    return found[0]


def packages(kernel, work):
    """The packages of a kernel and its modules: files."""
    suite, package = KERNELS[kernel]
    if suite != 'bookworm':
        return [*vmlinuz(suite, package).parents[-len(CACHE.parts) - 1].glob('*.deb')]
    depends = subprocess.run(['apt-cache', 'depends', package], capture_output=True, text=True).stdout
    name = re.search(r'Depends: (linux-image-\S+)', depends)[1]
    subprocess.run(['apt-get', 'download', name], cwd=work, check=True, capture_output=True)
    return [*work.glob('*.deb')]


def fetch(suite, package, place):
    """Downloads the packages of a kernel and its modules, and unpacks its image."""
    apt = own_apt(suite, place / 'apt')
    apt('apt-get', 'update')
    for _ in range(3):  # meta package, image, and since 7.x the package of the binary
        depends = apt('apt-cache', 'depends', package)
        modules = re.search(r'Depends: (linux-modules-\S+)', depends)
        if modules:
            apt('apt-get', 'download', modules[1], cwd=place)
        further = re.search(r'Depends: (linux-(?:image|binary)-\S+)', depends)
        if not further:
            break
        package = further[1]
    apt('apt-get', 'download', package, cwd=place)
    (file,) = place.glob(f'{package}_*.deb')
    names = subprocess.run(['dpkg-deb', '-c', file], check=True, capture_output=True, text=True).stdout
    image = re.search(r'(\./\S*/vmlinuz\S*)', names)[1]
    content = subprocess.Popen(['dpkg-deb', '--fsys-tarfile', file], stdout=subprocess.PIPE)
    subprocess.run(['tar', '-xC', place, image], stdin=content.stdout, check=True)
    assert content.wait() == 0
    subprocess.run(['rm', '-rf', place / 'apt'], check=True)


def own_apt(suite, state):
    """A function that runs apt's tools on one suite, beside the machine's own lists."""
    for directory in ('lists/partial', 'archives/partial', 'etc'):
        (state / directory).mkdir(parents=True, exist_ok=True)
    (state / 'sources.list').write_text(f'deb [signed-by={KEYS} arch=amd64] {ARCHIVE} {suite} main\n')
    (state / 'status').write_text('')
    options = {
        'Dir::Etc::SourceList': state / 'sources.list',
        'Dir::Etc::SourceParts': state / 'etc',
        'Dir::State::Lists': state / 'lists',
        'Dir::State::Status': state / 'status',
        'Dir::Cache': state,
        'Acquire::Languages': 'none',
        'APT::Sandbox::User': 'root',
        'APT::Architectures': 'amd64',
    }
    flags = [part for key, value in options.items() for part in ('-o', f'{key}={value}')]

    def run(tool, *words, cwd: Path = state):
        return subprocess.run(
            [tool, '-q', *flags, *words], check=True, capture_output=True, text=True, cwd=cwd, timeout=300
        ).stdout

    return run
