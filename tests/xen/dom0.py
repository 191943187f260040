"""What the tests of a bed do in its dom0, and how they look at its guests."""

import json
import re
import time

from furnace_testing import BUILD, PATIENCE, ROOT


def why_not(machine):
    if b'libxenctrl' not in (BUILD / 'bin' / 'furnace-vmi').read_bytes():
        return 'this build has no Xen driver (libxen-dev)'
    return machine.why_not()


def wait_in(bed, command, seconds, what):
    """Waits until a command succeeds in dom0, which tries it itself: a connection for each look would be most
    of what its CPU does.
    """
    seconds = int(seconds * bed.machine.slowness * PATIENCE)
    said = bed.run(
        f'for i in $(seq {2 * seconds}); do if {command}; then echo DONE; break; fi; sleep 0.5; done',
        60 + 3 * seconds,
    )
    assert said.endswith('DONE\n'), f'{what}: not within {seconds} s: {said[-1000:]}'


class Partition:
    """A VMI partition in dom0, and apps that ask it."""

    def __init__(self, bed, domain, *flags):
        self.bed, self.directory = bed, f'/tmp/vmi-{time.monotonic_ns()}'
        bed.run(
            f'(furnace vmi {domain} {" ".join(flags)} --vmi {self.directory} >{self.directory}.log 2>&1'
            f' </dev/null & echo $! >{self.directory}.pid)'
        )
        self.wait_log('serving VM', 30)

    def log(self):
        return self.bed.run(f'cat {self.directory}.log')

    def wait_log(self, text, seconds=20):
        """Until the partition has logged this; it fails at once when that has ended without it."""
        self._wait_file('log', text, seconds, 'pid')

    def wait_said(self, text, seconds=20):
        """Until the app has said this."""
        self._wait_file('out', text, seconds, 'app.pid')

    def _wait_file(self, suffix, text, seconds, pid):
        said = f'grep -q "{text}" {self.directory}.{suffix} 2>/dev/null'
        wait_in(self.bed, f'{said} || ! kill -0 $(cat {self.directory}.{pid})', seconds, text)
        assert self.bed.run(f'{said} && echo SAID') == 'SAID\n', self.bed.run(
            f'cat {self.directory}.{suffix}'
        )

    def _wait_end(self, pid, seconds, what):
        wait_in(self.bed, f'! kill -0 $(cat {self.directory}.{pid}) 2>/dev/null', seconds, what)

    def stop(self, signal='TERM'):
        self.bed.run(f'kill -{signal} $(cat {self.directory}.pid) 2>/dev/null')
        if signal == 'TERM':
            self._wait_end('pid', 10, 'the end of the partition')

    def app(self, body, methods='', seconds=60):
        """Runs statements as an app's constructor to its end; what it shows."""
        self.start_app(body, methods)
        self._wait_end('app.pid', seconds, 'the end of the app')
        said = self.said()
        assert 'raised' not in said and 'Segmentation' not in said, said
        return [json.loads(line[6:]) for line in said.splitlines() if line.startswith('SHOWN ')]

    def said(self):
        return self.bed.run(f'cat {self.directory}.out')

    def start_app(self, body, methods=''):
        lines = '\n'.join('        ' + line for line in body.strip().splitlines())
        code = (
            'import fe, json, time\nshow = lambda v: print("SHOWN " + json.dumps(v), flush=True)\nclass'
            f' App:\n    def __init__(self, ctx):\n{lines}\n{methods}'
        )
        self.bed.run(f"rm -f {self.directory}.out; cat > {self.directory}.py <<'EOF'\n{code}\nEOF")
        self.bed.run(
            f'(furnace app -c {self.directory} --u2 test-app --unconfined --vmi'
            f' {self.directory} >{self.directory}.out 2>&1 </dev/null & echo $! >{self.directory}.app.pid)'
        )

    def show(self, body):
        return self.app(body + '\nfe.exit()')


def short(name):
    """As the kernel keeps it: ps adds to a worker's name what it does."""
    return (
        name.strip('[]').partition('-')[0][:15]
        if name.startswith('[kworker') or name.startswith('kworker')
        else name.strip('[]')[:15]
    )


def same_processes(bed, guest):
    """Compares ours with those that the guest has itself; how many there were to compare."""
    said = json.loads(bed.run(f'furnace ps {guest} --json {bed.without_walls}', 240 * bed.machine.slowness))
    ours = {each['pid']: (each['ppid'], each['name']) for each in said}
    # Between ours and the guest's own look short-lived processes come and go.
    theirs = bed.processes_of(guest)
    lasting = {pid: who for pid, who in theirs.items() if ours.get(pid) and pid < 80}
    assert {pid: (parent, short(name)) for pid, (parent, name) in lasting.items()} == {
        pid: (ours[pid][0], short(ours[pid][1])) for pid in lasting
    }
    assert set(pid for pid in theirs if pid < 40) <= set(ours)
    return len(lasting)


def runs(bed, guest, seconds=4):
    """Whether the guest says something within so many seconds."""
    said, seconds = f'$(grep -c ^END {bed.console(guest)})', seconds * bed.machine.slowness
    return 'RUNS' in bed.run(
        (
            f'n={said}; for i in $(seq {2 * seconds}); do sleep 0.5; if [ {said} -gt $n ]; then echo RUNS;'
            ' break; fi; done'
        ),
        60 + 3 * seconds,
    )


def wait_until_it_runs(bed, guest, seconds=120):
    assert runs(bed, guest, seconds), f'{guest} stands still:\n{bed.run("xl list; ps; xl dmesg | tail -5")}'


CALL = re.compile(r'^(?:ALLOW|[01A] TRACE) (\w+)|^[01A] TEST_ARGS (\w+) \{$', re.M)
OPERANDS = re.compile(r'^[01A] TEST_ARGS (\w+) \{\n(.*?)^\}', re.M | re.S)


def rules_of(text):
    """The calls that a policy allows, and those of whose arguments it says something with what it says."""
    calls = {first or second for first, second in CALL.findall(text)}
    places = {
        (call, path)
        for call, body in OPERANDS.findall(text)
        for path in re.findall(r'REG_PTR:\w+\|(\S+)', body)
    }
    return calls, places


def assert_each_rule_is_used(policy, learned, said=''):
    """Of a file in policies/, but for what it includes: by programs whose policies were learned meanwhile."""
    calls, places = rules_of((ROOT / 'policies' / policy).read_text())
    called, opened = rules_of(learned)
    assert calls <= called, (calls - called, said)
    directories = {path for _, path in opened} | {path.rsplit('/', 1)[0] for _, path in opened}
    assert {path for _, path in places} <= directories, (places, opened)
