"""furnace-inspect on real programs: what a policy allows works, nothing else does, however it is asked
for.
"""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from furnace_testing import ROOT

BIN = ROOT / 'build' / 'bin'
# What a small C program does by itself.
BASE = '''
GROUP process {
  brk mmap munmap mprotect close read write lseek arch_prctl set_tid_address set_robust_list rseq prlimit64 getrandom
  exit_group exit futex pread64 rt_sigaction rt_sigprocmask clock_nanosleep fstat getpid time clock_gettime madvise uname
}
ALLOW @process
A TEST_ARGS open ERRNO:EACCES {
  REG_PTR:dirname_glob|/usr/lib
  REG_PTR:exactpath|/etc/ld.so.cache
  REG_PTR:dirname_glob|%(work)s/good
}
A TEST_ARGS stat ERRNO:EACCES {
  REG_PTR:dirname_glob|/usr/lib
  REG_PTR:dirname_glob|%(work)s/good
}
A ERRNO access EACCES
'''


@pytest.fixture(scope='module')
def program(tmp_path_factory):
    """The program that is inspected, compiled."""
    binary = tmp_path_factory.mktemp('inspected') / 'inspected'
    subprocess.run(
        ['gcc', '-D_GNU_SOURCE', '-O1', '-pthread', '-o', binary, Path(__file__).with_name('inspected.c')],
        check=True,
    )
    return binary


class Inspection:
    def __init__(self, work, program):
        self.work, self.program = work, program
        (work / 'good').mkdir()
        (work / 'bad').mkdir()
        (work / 'good' / 'file').write_text('good')
        (work / 'bad' / 'file').write_text('bad')

    def __call__(self, rules, *arguments, flags=(), program=None, timeout=60, **options):
        policy = self.work / 'test.policy'
        policy.write_text(BASE % {'work': self.work} + rules)
        command = [program or self.program, *arguments]
        return subprocess.run(
            [BIN / 'furnace-inspect', '--policy', policy, *flags, '--', *map(str, command)],
            capture_output=True,
            text=True,
            timeout=timeout,
            cwd=self.work,
            **options,
        )


@pytest.fixture
def inspect(work, program):
    """The program under a policy of this test."""
    return Inspection(work, program)


def got(result):
    assert 'violation' not in result.stderr, result.stderr
    return dict(line.split(' ', 1) for line in result.stdout.splitlines())


def test_paths_are_tested_for_every_call_that_opens(inspect):
    good, bad = inspect.work / 'good' / 'file', inspect.work / 'bad' / 'file'
    assert got(inspect('', 'open', good)) == {'open': 'ok', 'openat': 'ok', 'openat2': 'ok'}
    assert got(inspect('', 'open', bad)) == {'open': 'EACCES', 'openat': 'EACCES', 'openat2': 'EACCES'}


@pytest.mark.parametrize(
    'detour',
    [
        '{good}/../bad/file',
        '{good}/link',
        '{good}/to-bad/file',
        '/proc/self/root{bad}/file',
        '{good}/self-root{bad}/file',
        '{bad}/./file',
        '//{bad}//file',
    ],
)
def test_no_detour_leads_to_another_file(inspect, detour):
    good, bad = inspect.work / 'good', inspect.work / 'bad'
    (good / 'link').symlink_to(bad / 'file')
    (good / 'to-bad').symlink_to(bad)
    (good / 'self-root').symlink_to('/proc/self/root')
    answers = got(inspect('', 'open', detour.format(good=good, bad=bad)))
    assert set(answers.values()) <= {'EACCES', 'ELOOP'} and len(answers) == 3


def test_relative_paths_start_where_the_program_is(inspect):
    good, bad = inspect.work / 'good', inspect.work / 'bad'
    assert set(got(inspect('ALLOW chdir', 'in', good, 'file')).values()) == {'ok'}
    assert set(got(inspect('ALLOW chdir', 'in', good, '../bad/file')).values()) == {'ok', 'EACCES'}
    assert set(got(inspect('ALLOW chdir', 'in', bad, 'file')).values()) == {'ok', 'EACCES'}
    (good / 'deep').mkdir()
    assert got(inspect('', 'below', good / 'deep', '../file')) == {'openat': 'ok'}
    assert got(inspect('', 'below', good / 'deep', '../../bad/file')) == {'openat': 'EACCES'}


def test_files_are_made_where_the_policy_allows_it(inspect):
    made = inspect.work / 'good' / 'made'
    old = os.umask(0o027)
    try:
        answers = got(inspect('', 'create', made))
    finally:
        os.umask(old)
    assert answers == {'create': 'ok', 'write': 'ok', 'again': 'EEXIST', 'creat': 'ok'}
    assert made.stat().st_mode & 0o777 == 0o640
    assert got(inspect('', 'create', inspect.work / 'bad' / 'made'))['create'] == 'EACCES'
    assert not (inspect.work / 'bad' / 'made').exists()
    (inspect.work / 'good' / 'link').symlink_to(inspect.work / 'bad' / 'made')
    assert got(inspect('', 'create', inspect.work / 'good' / 'link'))['creat'] in ('EACCES', 'ELOOP')
    assert not (inspect.work / 'bad' / 'made').exists()
    assert got(inspect('', 'link', inspect.work / 'good' / 'link')) == {'open': 'ELOOP'}


def test_what_stat_returns_is_what_the_kernel_returns(inspect):
    rules = (
        'A TEST_ARGS access {\n REG_PTR:dirname_glob|%s/good\n}\nA TEST_ARGS readlink ERRNO:EACCES {\n'
        ' REG_PTR:dirname_glob|%s/good\n}' % ((inspect.work,) * 2)
    )
    answers = got(inspect(rules, 'look', inspect.work / 'good' / 'file'))
    assert answers.pop('size') == '4 4'
    assert answers.pop('readlink') == 'EINVAL'
    assert set(answers.values()) == {'ok'}
    assert got(inspect(rules, 'look', inspect.work / 'bad' / 'file'))['stat'] == 'EACCES'


def test_a_path_that_another_thread_exchanges_never_leads_to_another_file(inspect):
    good, bad = inspect.work / 'good' / 'file', inspect.work / 'bad' / 'file'
    said = inspect('ALLOW clone3', 'race', good, bad, 30).stdout
    opened, refused, wrong = map(int, re.findall(r'\d+', said))
    assert opened > 100 and refused > 100 and wrong == 0, said


def test_a_program_that_another_thread_exchanges_never_runs(inspect):
    mark = inspect.work / 'mark'
    bad = inspect.work / 'bad' / 'program'
    bad.write_text(f'#!/bin/sh\necho > {mark}\n')
    bad.chmod(0o755)
    rules = (
        'ALLOW clone3\nALLOW vfork\nALLOW wait4\nA TEST_ARGS execve ERRNO:EACCES {\n'
        ' REG_PTR:exactpath|/usr/bin/true\n}'
    )
    result = inspect(rules, 'race-exec', '/usr/bin/true', bad, 5)
    assert result.stdout == 'done\n' or 'execve' in result.stderr, result
    assert not mark.exists()


def test_execve_runs_what_the_policy_names(inspect):
    rules = 'ALLOW clone\nALLOW wait4\nA TEST_ARGS execve ERRNO:EACCES {\n REG_PTR:exactpath|/usr/bin/echo\n}'
    assert inspect(rules, 'exec', '/bin/echo', 'hello').stdout == 'hello\n'
    assert inspect(rules, 'exec', '/bin/cat', '/etc/hostname').stdout == 'exec EACCES\n'


def test_levels(inspect):
    rules = 'A TRACE getppid REG_INT\n1 TRACE getuid\n'
    result = inspect(rules, 'levels')
    assert result.stdout == 'before ok\nestablished ENOENT\nallowed ok\n'
    assert result.returncode == 128 + signal.SIGSYS
    assert re.search(
        (
            r'inspected \(pid \d+, thread \d+\): getppid\(\) is not allowed at level 1: there is no rule .1'
            r' TRACE getppid'
        ),
        result.stderr,
    )
    assert inspect(rules + '1 TRACE getppid', 'levels').stdout.endswith('after ok\n')
    early = inspect('1 TRACE getppid', 'levels')
    assert early.stdout == '' and 'at level 0' in early.stderr


def test_the_level_holds_for_all_threads(inspect):
    result = inspect('ALLOW clone3\nA TRACE getppid', 'threads')
    assert 'after' not in result.stdout and 'level 1' in result.stderr


def test_numbers_are_compared_with_the_argument_that_decides(inspect):
    rules = 'A TEST_ARGS ioctl {\n REG_INT:module_termios.TCGETS\n REG_INT:request&0xff00=0x8900\n}'
    for request in ('0x5401', '0x8912', '0x100005401'):  # the kernel looks at 32 bits of it
        assert got(inspect(rules, 'ioctl', request)) == {'ioctl': 'ok'}
    refused = inspect(rules, 'ioctl', '0x5412')
    assert 'ioctl(fd=0, request=0x5412' in refused.stderr and refused.stdout == ''


def test_a_violation_ends_every_process_at_once(inspect):
    result = inspect('ALLOW clone\nALLOW setsid\nALLOW pause', 'tree', timeout=20)
    assert result.stdout == 'forked ok\n'
    assert result.stderr.count('violation') == 1
    assert subprocess.run(['pgrep', '-f', f'^{inspect.program}'], capture_output=True).stdout == b''


@pytest.mark.parametrize('entry, name', [('int80', '32-bit code'), ('x32', 'x32')])
def test_other_entries_to_the_kernel_are_closed(inspect, entry, name):
    result = inspect('ALLOW getppid', entry)
    assert result.stdout == ''
    # A kernel without such an entry kills the program by itself.
    assert name in result.stderr or result.returncode == 128 + signal.SIGSEGV


def test_audit_reports_and_allows(inspect):
    result = inspect('', 'levels', flags=['--audit'])
    assert result.returncode == 0 and result.stdout.endswith('after ok\n')
    assert 'audit: ' in result.stderr
    told = [line for line in result.stderr.splitlines() if 'getppid' in line]
    assert len(told) == 2  # once at each level


@pytest.mark.skipif(os.geteuid() != 0, reason='needs root')
def test_the_supervisor_lends_its_rights_to_no_process(inspect):
    secret = inspect.work / 'good' / 'secret'
    secret.write_text('good')
    secret.chmod(0o600)
    inspect.work.chmod(0o755)
    assert set(got(inspect('ALLOW setuid', 'user', secret)).values()) == {'ok', 'EACCES'}
    secret.chmod(0o644)
    assert set(got(inspect('ALLOW setuid', 'user', secret)).values()) == {'ok'}


@pytest.mark.skipif(os.geteuid() != 0, reason='needs root')
def test_paths_are_those_of_the_programs_own_root(inspect):
    root = inspect.work / 'root'
    (root / 'etc').mkdir(parents=True)
    (root / 'etc' / 'secret').write_text('inside')
    code = (
        f'import os; os.chroot({str(root)!r}); os.chdir("/"); print(open("/etc/secret").read(),'
        ' open("../etc/secret").read())'
    )
    policy = inspect.work / 'python.policy'
    learn_all = ''.join(f'ALLOW {name}\n' for name in python_calls() if not name.startswith('open'))
    policy.write_text(
        learn_all + 'A TEST_ARGS open {\n REG_PTR:dirname_glob|/usr\n REG_PTR:dirname_glob|/etc\n'
        ' REG_PTR:dirname_glob|/root\n}\n'
    )
    result = subprocess.run(
        [BIN / 'furnace-inspect', '--policy', policy, '--', '/usr/bin/python3', '-I', '-c', code],
        capture_output=True,
        text=True,
    )
    assert result.stdout == 'inside inside\n', result.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason='needs root')
def test_what_is_executed_is_named_by_the_programs_own_root(inspect):
    root = inspect.work / 'root'
    (root / 'bin').mkdir(parents=True)
    (inspect.work / 'hello.c').write_text(
        '#include <stdio.h>\nint main(void) { return puts("hello") < 0; }\n'
    )
    subprocess.run(['gcc', '-static', '-o', root / 'bin' / 'hello', inspect.work / 'hello.c'], check=True)
    policy = inspect.work / 'python.policy'
    policy.write_text(
        ''.join(f'ALLOW {name}\n' for name in python_calls() if not name.startswith('exec'))
        + 'A TEST_ARGS execve {\n REG_PTR:exactpath|/bin/hello\n}\n'
    )
    code = f'import os; os.chroot({str(root)!r}); os.chdir("/"); os.execv("bin/hello", ["hello"])'
    result = subprocess.run(
        [BIN / 'furnace-inspect', '--policy', policy, '--', '/usr/bin/python3', '-I', '-c', code],
        capture_output=True,
        text=True,
    )
    assert result.stdout == 'hello\n', result.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason='needs root')
def test_proc_shows_a_program_no_more_than_it_may_see(inspect):
    rules = 'ALLOW setuid\nA TEST_ARGS open {\n REG_PTR:dirname_glob|/proc\n}'
    assert set(got(inspect(rules, 'user', '/proc/1/maps')).values()) == {'ok', 'EACCES'}
    assert set(got(inspect(rules, 'user', '/proc/self/status')).values()) == {'ok'}


@pytest.mark.skipif(os.geteuid() != 0, reason='needs root')
def test_the_own_entry_in_proc_is_the_programs_in_other_pid_namespaces_too(inspect):
    policy = inspect.work / 'all.policy'
    policy.write_text(
        ''.join(f'ALLOW {name}\n' for name in python_calls() if not name.startswith('open'))
        + 'A TEST_ARGS open {\n REG_PTR:dirname_glob|/usr\n REG_PTR:dirname|/etc\n'
        ' REG_PTR:dirname|/proc/self\n}\n'
    )
    code = (
        'import os, sys\nos.unshare = None\nimport ctypes\nctypes.CDLL(None).unshare(0x20000000)\nif'
        ' os.fork() == 0:\n print(os.getpid(), open("/proc/self/comm").read().strip(), flush=True);'
        ' os._exit(0)\nos.wait()\ntry:\n open("/proc/1/comm")\nexcept OSError as e: print(e)'
    )
    result = subprocess.run(
        [BIN / 'furnace-inspect', '--policy', policy, '--', '/usr/bin/python3', '-I', '-c', code],
        capture_output=True,
        text=True,
    )
    assert result.stdout == '1 python3\n'
    assert '"/proc/1/comm"' in result.stderr


def python_calls():
    """All system calls but the most dangerous: for tests that are about one of them."""
    from_header = Path('/usr/include/x86_64-linux-gnu/asm/unistd_64.h').read_text()
    return [
        name
        for name in re.findall(r'__NR_(\w+)', from_header)
        if name not in ('ptrace', 'kexec_load', 'uretprobe')
    ]


def test_a_program_of_threads_and_processes_works(inspect):
    code = '''import subprocess, threading, concurrent.futures as f
with f.ThreadPoolExecutor(8) as pool: print(sum(pool.map(lambda i: len(open("/etc/passwd").read()) > 0, range(200))))
print(subprocess.run(["/bin/sh", "-c", "echo $((6*7))"], capture_output=True, text=True).stdout.strip())
'''
    policy = inspect.work / 'python.policy'
    policy.write_text(
        ''.join(f'ALLOW {name}\n' for name in python_calls() if not name.startswith(('open', 'exec')))
        + 'A TEST_ARGS open {\n REG_PTR:dirname_glob|/\n}\nA TEST_ARGS execve {\n'
        ' REG_PTR:dirname|/usr/bin\n}\n'
    )
    result = subprocess.run(
        [BIN / 'furnace-inspect', '--policy', policy, '--', '/usr/bin/python3', '-I', '-c', code],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.stdout == '200\n42\n', result.stderr
    assert result.returncode == 0


def test_the_exit_code_is_the_programs(inspect):
    policy = inspect.work / 'sh.policy'
    policy.write_text(''.join(f'ALLOW {name}\n' for name in python_calls()))

    def run(code):
        return subprocess.run(
            [BIN / 'furnace-inspect', '--policy', policy, '--', '/bin/sh', '-c', code]
        ).returncode

    assert run('exit 7') == 7
    assert run('kill -TERM $$') == 128 + signal.SIGTERM


def test_the_program_ends_with_its_supervisor(inspect):
    policy = inspect.work / 'sleep.policy'
    policy.write_text(''.join(f'ALLOW {name}\n' for name in python_calls()))
    supervisor = subprocess.Popen([BIN / 'furnace-inspect', '--policy', policy, '--', '/bin/sleep', '987654'])
    time.sleep(0.5)
    supervisor.kill()
    supervisor.wait()
    time.sleep(0.2)
    assert subprocess.run(['pgrep', '-f', '^/bin/sleep 987654'], capture_output=True).stdout == b''


def test_bad_policies_and_programs_are_named(inspect):
    result = inspect('ALLOW opne', 'open', 'x')
    assert result.returncode == 1 and re.search(
        r"test\.policy:\d+:7: .*'opne'; did you mean 'open'\?", result.stderr
    )
    assert 'Is a directory' in inspect('', program='/usr').stderr
    unknown = inspect.work / 'unknown'
    unknown.write_bytes(b'\x01\x02\x03')
    unknown.chmod(0o755)
    result = inspect('', program=unknown)
    assert result.returncode == 1 and 'Exec format error' in result.stderr
    result = inspect('', program='no-such-program')
    assert result.returncode == 1 and 'no-such-program: not on the PATH' in result.stderr
