"""Ways to the network under every policy: all of the kernel's table of system calls, in all their forms.

The only way out of a FAC partition is a TCP connection to its proxy; all others have none. `attacks/native_*`
are the same ways taken by attackers, with the walls and without.
"""

import re
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

from furnace_testing import BUILD, ROOT

# The broker's is no program's: it is put on when all is open, and has nothing to make a socket with (see
# below).
POLICIES = sorted(
    path.stem for path in (ROOT / 'policies').glob('*.policy') if path.stem not in ('common', 'broker')
)

# Names of calls that take a socket, a socket's address, or send: whatever else they do.
SOCKETS = re.compile(
    r'sock|bind|listen|accept|connect|send|recv|shutdown|peername|splice|tee|io_uring'
    r'|io_submit|pidfd_getfd|bpf'
)
# Those that are tried in each of their forms; the others without a socket.
IN_FORMS = {'socket', 'socketpair', 'sendto', 'setsockopt', 'getsockopt'}

# What is let through. Receiving tells from whom; descriptors come over connections that stand.
EVERYWHERE = {'recvfrom', 'getsockname', 'getpeername'}
ALLOWED = {
    'app': EVERYWHERE | {'connect'},  # of UNIX sockets alone, in a network namespace that is empty
    'forensic': EVERYWHERE | {'connect'},
    'drakvuf': EVERYWHERE | {'accept4'},
    'fac': EVERYWHERE | {'accept4'},  # connect: to its proxy
    # Of UNIX stream sockets alone.
    'vmi-qemu': EVERYWHERE | {'accept4', 'bind', 'listen', 'shutdown'},
    'reader': {'recvfrom'},  # of its broker
    'vmi-xen': EVERYWHERE | {'accept4', 'bind', 'listen', 'shutdown'},
}
AF_UNIX, AF_INET, SOCK_STREAM, TCP, TCP_NODELAY, FAST_OPEN = 1, 2, 1, 6, 1, 0x20000000


def calls_of_the_kernel():
    """{name: number}, from the header of the kernel's system calls for 64-bit code."""
    headers = ('/usr/include/x86_64-linux-gnu/asm/unistd_64.h', '/usr/include/asm/unistd_64.h')
    text = next(Path(each) for each in headers if Path(each).exists()).read_text()
    return {name: int(number) for name, number in re.findall(r'#define __NR_(\w+) (\d+)', text)}


@pytest.fixture(scope='module')
def let_through(tmp_path_factory):
    """{policy: {name of a call: the forms of it that are let through, as tuples of numbers}}."""
    work = tmp_path_factory.mktemp('egress')
    calls = {name: number for name, number in calls_of_the_kernel().items() if SOCKETS.search(name)}
    others = ','.join(str(number) for name, number in calls.items() if name not in IN_FORMS)
    subprocess.run(
        [
            'gcc',
            '-O1',
            '-static',
            '-nostdlib',
            '-fno-stack-protector',
            f'-DCALLS={others}',
            f'-I{ROOT}/tests/security/attacks',
            '-o',
            work / 'ways',
            ROOT / 'tests/security/ways_out.c',
        ],
        check=True,
    )
    names = {number: name for name, number in calls.items()}
    found = {}
    for policy in POLICIES:
        rules = ''.join(f'A ERRNO {name} EDOM\n' for name in calls)
        (work / f'{policy}.policy').write_text(f'INCLUDE {ROOT}/policies/{policy}.policy\n{rules}')
        command = [BUILD / 'bin/furnace-inspect', '--policy', work / f'{policy}.policy', '--', work / 'ways']
        ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert ran.returncode == 0, (policy, ran.stderr)
        found[policy] = defaultdict(set)
        for line in ran.stdout.splitlines():
            number, *form = map(int, line.split())
            found[policy][names[number]].add(tuple(form))
    return found


def test_every_policy_is_tried(let_through):
    assert set(ALLOWED) == set(let_through), 'a policy without a word here of what it lets through'


@pytest.mark.parametrize('policy', POLICIES)
def test_no_other_call_takes_a_socket(let_through, policy):
    assert set(let_through[policy]) - IN_FORMS == ALLOWED[policy]


@pytest.mark.parametrize('policy', POLICIES)
def test_sockets_are_streams_of_this_host_and_tcp_in_fac(let_through, policy):
    domains = {(domain, kind) for domain, kind, _ in let_through[policy]['socket']}
    expected = set() if policy == 'reader' else {(AF_UNIX, SOCK_STREAM)}
    assert domains == expected | ({(AF_INET, SOCK_STREAM)} if policy == 'fac' else set())
    assert all(protocol == TCP for domain, _, protocol in let_through[policy]['socket'] if domain == AF_INET)
    assert {form[:2] for form in let_through[policy]['socketpair']} <= {(AF_UNIX, SOCK_STREAM)}


@pytest.mark.parametrize('policy', POLICIES)
def test_what_is_sent_goes_where_the_socket_is_connected_to(let_through, policy):
    flags = {0, *(1 << bit for bit in range(32))} - {FAST_OPEN}
    assert let_through[policy]['sendto'] == {(0, each) for each in flags}


@pytest.mark.parametrize('policy', POLICIES)
def test_no_option_of_a_socket_opens_a_way(let_through, policy):
    assert let_through[policy]['setsockopt'] == ({(TCP, TCP_NODELAY)} if policy == 'fac' else set())


def test_the_broker_makes_no_socket_but_pairs_and_connects_to_nothing():
    rules = (ROOT / 'policies' / 'broker.policy').read_text()
    named = set(re.findall(r'^(?:ALLOW|[01A] \w+) (\w+)', rules, re.M))
    assert {name for name in named if SOCKETS.search(name)} == {
        'recvfrom',
        'sendto',
        'sendmsg',
        'socketpair',
        'accept4',
    }
    assert 'INCLUDE' not in rules and 'domain=AF_UNIX,type&0xf=SOCK_STREAM' in rules
