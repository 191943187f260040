"""The policies of partitions are minimal: without any one of their rules something legitimate breaks."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from furnace_testing import APP, BUILD, ROOT, Cloud, eventually, furnace, start_guest
from furnace_testing.policies import POLICIES, identify, parse_policy, write_policy

KINDS = {'app': 'app.policy', 'fac': 'fac.policy', 'vmi': 'vmi-qemu.policy', 'reader': 'reader.policy'}
NOT_NEEDED_HERE = {
    ('reader', (None, 'ALLOW clock_gettime')),  # on hosts whose vDSO can't tell the time
    (
        'reader',
        (None, 'ALLOW mremap'),
    ),  # realloc() of a large block, by the libraries that read kdump, ELF and compressed files
    ('reader', ('A TEST_ARGS ioctl {', 'REG_INT:0x205004')),  # on Xen
}


APP_CODE = (
    '''
import fe
print('isatty', __import__('sys').stdout.isatty())
class App:
    def __init__(self, ctx):
        import os, random, socket, threading, time
        import beside
        print(time.localtime().tm_year > 2000, os.getcwd(), os.listdir('/opt/furnace/app'), os.path.exists('/nothing'))
        print(len(fe.process_list()), fe.io_set('key', 'value'), fe.io_get('key'), fe.request('hello'))
        fe.notify('there')
        import decimal, hashlib, json, uuid, ssl_is_not_there_but_looked_for
'''.replace(
        ', ssl_is_not_there_but_looked_for', ''
    )
    + '''
        hashlib.sha256(b''), random.random(), os.urandom(8)
        # Memory that grows, in a thread as well, and is given back.
        grown = bytearray()
        for _ in range(100): grown += bytes(100_000)
        threads = [threading.Thread(target=lambda: [bytes(1000) for _ in range(20_000)].clear()) for _ in range(2)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        time.sleep(0.01)
        os.set_inheritable(1, False)
        time.process_time(), os.sched_yield()
        big = [bytes(1 << 20) for _ in range(30)]
        del big
        self.left = 3
        fe.event_register({'event_type': fe.TIMER, 'time_value': 0.02, 'callback': self.tick})
        fe.event_register({'event_type': fe.REG, 'callback': lambda event: None})
        fe.events_start()
    def tick(self, _):
        self.left -= 1
        if self.left == 0:
            print('done', flush=True)
            fe.exit()
'''
)

# Asks a FAC partition that isn't there: the call is given up at the signal to end, and its socket replaced.
LOST_CODE = '''
import fe
class App:
    def __init__(self, ctx):
        print('asks', flush=True)
        fe.io_get('key')
'''

NATIVE_CODE = '''
#include <furnace/app.h>
#include <cstdio>
#include <ctime>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>
struct Native : furnace::tenant::App {
  explicit Native(furnace::tenant::Host& host) {
    const time_t now = time(nullptr);
    tm local{};
    localtime_r(&now, &local);
    timeval moment{};
    syscall(SYS_gettimeofday, &moment, nullptr);  // as where the vDSO can't tell the time
    std::puts("done");
    std::fflush(stdout);
    host.exit();
  }
};
FURNACE_APP(Native)
'''

BACKEND = '''
import be
class AppBE:
    def __init__(self, ctx):
        be.event_register({'event_type': be.FE, 'callback': lambda ctx: 'heard ' + ctx.message})
'''


class Bench:
    """Everything that a partition under a changed policy is tried against."""

    def __init__(self, work, vm, snapshot):
        self.work, self.vm, self.snapshot = work, vm, snapshot
        self.sim = Cloud(work / 'sim', 'sim', driver='simulator')
        self.sim.start_backend(BACKEND)
        self.sim.start_proxy()
        self.sim.start_vmi()
        self.sim.start_fac()
        # For the FAC partitions that are tried: a proxy has one FAC partition at a time.
        self.home = Cloud(work / 'home', 'none', driver='simulator')
        self.home.start_backend(BACKEND)
        self.home.start_proxy()
        self.policy = work / 'changed.policy'
        (work / 'beside.py').write_text('x = 1\n')
        self.native = work / 'native'
        source = work / 'native.cc'
        source.write_text(NATIVE_CODE)
        subprocess.run(
            [
                'g++',
                '-std=c++20',
                '-O1',
                '-shared',
                '-fPIC',
                f'-I{ROOT}/include',
                source,
                '-o',
                self.native.with_suffix('.so'),
            ],
            check=True,
        )
        self.elf, self.profile = work / 'elf', work / 'isf.json'
        furnace('vm', 'snapshot', vm.name, self.elf)
        furnace('profile', 'export', vm.name, '--format', 'isf', '-o', self.profile)

    def _app(self, cloud, code, *flags, fac=True, peer=None):
        """An app that has ended; its code is None if `peer`, whom it speaks to, has ended before."""
        app = cloud.start(
            'app',
            '-c',
            cloud.source('app', code),
            '-m',
            'App',
            '--u2',
            APP,
            '--vmi',
            cloud.vmi_dir,
            '--add',
            self.work / 'beside.py',
            *(['--fac', cloud.fac_dir] if fac else []),
            *flags,
        )
        eventually(
            lambda: any(each and each.process.poll() is not None for each in (app, peer)),
            20,
            'the end of the app',
        )
        app.code = app.process.poll()
        return app

    def _broke(self, process, done=True):
        if 'violation' in process.log:
            return re.search('violation.*', process.log)[0]
        return None if done else f'{process.log}\n{process.out}'

    def app(self):
        app = self._app(self.sim, APP_CODE, '--policy', self.policy)
        if broke := self._broke(app, app.code == 0 and 'done' in app.out):
            return broke
        native = self.sim.start(
            'app', '-c', self.native, '--u2', APP, '--vmi', self.sim.vmi_dir, '--policy', self.policy
        )
        if broke := self._broke(native, native.wait_end(20) == 0 and 'done' in native.out):
            return broke
        lost = self.sim.start(
            'app',
            '-c',
            self.sim.source('app', LOST_CODE),
            '--u2',
            'lost',
            '--vmi',
            self.sim.vmi_dir,
            '--fac',
            self.work / 'nowhere',
            '--policy',
            self.policy,
        )
        try:
            lost.wait_out('asks')
        except AssertionError:
            return self._broke(lost, False)
        lost.stop()
        return self._broke(lost)

    def fac(self):
        cloud = Cloud(self.work / f'fac-{os.urandom(3).hex()}', 'sim', driver='simulator')
        cloud.keys, cloud.inside = self.home.keys, self.home.inside
        try:
            fac = cloud.start('fac', *cloud.fac_arguments(), '--policy', self.policy)
            try:
                fac.wait_log('connected to the proxy')
            except AssertionError:
                return self._broke(fac, False)
            cloud.vmi_dir = self.sim.vmi_dir
            app = self._app(
                cloud,
                peer=fac,
                code='''
import fe
class App:
    def __init__(self, ctx):
        for i in range(20):
            fe.io_set(f'key{i % 3}', 'x' * 30000)
        print(fe.io_get('key1')[:3], fe.request('hello'))
        fe.notify('there')
        print('done', flush=True)
        fe.exit()
''',
            )
            fac.stop()
            if broke := self._broke(fac, app.code == 0 and 'done' in app.out and fac.process.returncode == 0):
                return broke
            return self._fac_after_a_crash(cloud)
        finally:
            cloud.stop()

    def _fac_after_a_crash(self, cloud):
        """What a FAC partition leaves that is killed while it makes a database: a journal beside it."""
        database = cloud.fac_dir.parent / 'storage' / 'storage.db'
        journal = database.with_name('storage.db-journal')
        journal.write_bytes(bytes.fromhex('d9d505f920a163d7') + bytes(504))
        os.chown(journal, database.stat().st_uid, database.stat().st_gid)
        fac = cloud.start('fac', *cloud.fac_arguments(), '--policy', self.policy)
        try:
            fac.wait_log('serving app')
        except AssertionError:
            return self._broke(fac, False)
        fac.stop()
        return self._broke(fac, fac.process.returncode == 0)

    def vmi(self):
        for name, driver, more in (
            (self.vm.name, 'qemu', ()),
            ('sim', 'simulator', ()),
            (self.snapshot, 'snapshot', ()),
            (self.elf, 'snapshot', ('--profile', self.profile)),
        ):
            cloud = Cloud(self.work / f'vmi-{os.urandom(3).hex()}', name, driver=driver)
            try:
                vmi = cloud.start(
                    'vmi',
                    name,
                    '--driver',
                    driver,
                    '--vmi',
                    cloud.vmi_dir,
                    '--metrics',
                    cloud.work / 'metrics',
                    '--policy',
                    self.policy,
                    *more,
                )
                try:
                    vmi.wait_log('serving VM')
                except AssertionError:
                    return self._broke(vmi, False)
                app = self._app(
                    cloud,
                    peer=vmi,
                    fac=False,
                    code=f'''
import fe
class App:
    def __init__(self, ctx):
        print(len(fe.process_list()))
        fe.checked.read_va(fe.lookup_symbol('linux_banner'), 0, 20)
        if '{driver}' != 'snapshot':
            fe.pause_vm(), fe.resume_vm()
            fe.event_register({{'event_type': fe.SYSCALL if '{driver}' == 'qemu' else fe.REG, 'callback': lambda event: None}})
            fe.events_start()
        fe.event_register({{'event_type': fe.TIMER, 'time_value': 0.3, 'callback': lambda _: (print('done', flush=True), fe.exit())}})
''',
                )
                if vmi.process.poll() is not None:
                    return self._broke(vmi, False)
                if driver == 'simulator':
                    second = cloud.start(
                        'vmi', name, '--driver', driver, '--vmi', cloud.vmi_dir, '--policy', self.policy
                    )
                    if broke := self._broke(
                        second, second.wait_end(20) == 1 and 'another VMI partition serves' in second.log
                    ):
                        return broke
                subprocess.run(
                    ['curl', '-s', '--unix-socket', cloud.work / 'metrics', 'http://vmi/'],
                    capture_output=True,
                )
                vmi.stop()
                if broke := self._broke(
                    vmi, app.code == 0 and 'done' in app.out and vmi.process.returncode == 0
                ):
                    return broke
            finally:
                cloud.stop()
        return None

    def reader(self):
        """Commands whose programs are copies, beside which the changed policy is."""
        programs, policies = self.work / 'bin', self.work / 'policies'
        if not programs.exists():
            programs.mkdir()
            shutil.copytree(POLICIES, policies)
            for name in ('furnace', 'furnace-enter', 'furnace-reader'):
                shutil.copy(BUILD / 'bin' / name, programs)
            self.bomb = self.work / 'bomb.json.zst'
            subprocess.run(f'head -c 600M /dev/zero | zstd -q -o {self.bomb}', shell=True, check=True)
        shutil.copy(self.policy, policies / 'reader.policy')
        out, cache = self.work / 'out', self.work / 'cache'
        shutil.rmtree(cache / 'profiles', ignore_errors=True)  # the first command finds what is not known yet
        for arguments, code in (
            (('-d', 'ps', self.vm.name, '--long'), 0),
            (('ps', ROOT / 'docs/simulator.toml'), 0),
            (('ps', self.snapshot), 0),
            (('vm', 'snapshot', self.vm.name, out), 0),
            (('vm', 'snapshot', ROOT / 'docs/simulator.toml', out), 0),
            (('profile', 'find', self.elf), 0),
            (('profile', 'show', self.profile, 'task_struct'), 0),
            (('profile', 'show', self.elf), 0),
            (('profile', 'show', self.bomb), 1),
        ):
            ran = subprocess.run(
                [programs / 'furnace', *arguments],
                env={**os.environ, 'FURNACE_CACHE': str(cache)},
                capture_output=True,
                text=True,
                timeout=120,
            )
            out.unlink(missing_ok=True)
            if 'violation' in ran.stderr:
                return re.search('violation.*', ran.stderr)[0]
            if ran.returncode != code:
                return ran.stderr
        return None


@pytest.fixture(scope='module')
def bench(tmp_path_factory):
    """Roots whose policies lack rules, and what partitions need to start in them."""
    work = Path(f'/tmp/furnace-policies-{os.getpid()}')
    work.mkdir()
    (work / 'sim').mkdir()
    (work / 'home').mkdir()
    vm = start_guest()
    snapshot = work / 'snapshot'
    vm.qmp('dump-guest-memory', paging=False, protocol=f'file:{snapshot}', format='kdump-zlib')
    made = Bench(work, vm, snapshot)
    yield made
    made.sim.stop()
    made.home.stop()
    vm.stop()
    subprocess.run(['rm', '-rf', work], check=True)


CASES = [
    (kind, rule)
    for kind, name in (*KINDS.items(), ('common', 'common.policy'))
    for rule in parse_policy(name)
    if (kind, rule) not in NOT_NEEDED_HERE
]


def all_rules(kind):
    included = 'INCLUDE common.policy' in (POLICIES / KINDS[kind]).read_text()
    return (parse_policy('common.policy') if included else []) + parse_policy(KINDS[kind])


@pytest.mark.parametrize('kind', KINDS)
def test_all_works_under_the_whole_policy(bench, kind):
    write_policy(bench.policy, all_rules(kind))
    assert getattr(bench, kind)() is None


@pytest.mark.parametrize('kind, rule', CASES, ids=[f'{kind}: {identify(rule)}' for kind, rule in CASES])
def test_without_a_rule_something_breaks(bench, kind, rule):
    for tried in KINDS if kind == 'common' else (kind,):
        rules = all_rules(tried)
        if rule not in rules:
            continue
        rules.remove(rule)
        write_policy(bench.policy, rules)
        broke = getattr(bench, tried)()
        if broke and 'violation' in broke:
            return
        assert not broke, f'for another reason: {broke}'
    pytest.fail(f'nothing needs this rule: {identify(rule)}')
