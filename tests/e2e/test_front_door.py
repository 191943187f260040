"""What the README and the docs show works as shown; the demo runs and leaves nothing behind."""

import json
import os
import re
import subprocess

import pytest

from furnace_testing import BUILD, FURNACE, ROOT, furnace, resident_mb

DOCS = [
    'README.md',
    'docs/benchmarks.md',
    'docs/profiles.md',
    'docs/simulator.md',
    'docs/apps.md',
    'docs/events.md',
    'docs/policies.md',
    'docs/limits.md',
    'docs/operators.md',
    'docs/security.md',
    'docs/line-home.md',
    'tests/README.md',
]
# This is the test run itself, or long and run by hand.
NOT_RUN = ('bench/run', '/usr/bin/python3 -m pytest')


def blocks(document):
    return re.findall(r'```console\n(.*?)```', (ROOT / document).read_text(), re.S)


@pytest.mark.parametrize('document', DOCS)
def test_commands_shown_work(document):
    commands = [
        line[2:] for block in blocks(document) for line in block.splitlines() if line.startswith('$ ')
    ]
    assert commands
    script = 'set -e -m\n'
    for command in commands:
        if not command.startswith(NOT_RUN):
            script += f"echo '>>> {command}' | tr -d \"'\"\n{command}\n"
            script += 'sleep 2\n' if command.endswith('&') else ''
    result = subprocess.run(['bash', '-c', script], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    if document == 'README.md':
        assert 'web-server' in result.stdout and 'jiffies: ' in result.stdout


def test_the_first_app_in_the_readme_is_the_file():
    shown = re.search(r'```python\n(.*?)```', (ROOT / 'README.md').read_text(), re.S)[1]
    assert shown == (ROOT / 'apps' / 'first' / 'app.py').read_text()


def test_links_in_the_docs_lead_somewhere():
    for document in [*DOCS, 'docs/README.md', 'docs/architecture.md', 'docs/xen.md', 'CONTRIBUTING.md']:
        for target in re.findall(r'\]\(([^)#:]+)\)', (ROOT / document).read_text()):
            assert ((ROOT / document).parent / target).exists(), f'{document}: {target}'


def processes():
    return subprocess.run(['ps', '-eo', 'args'], capture_output=True, text=True).stdout


def test_demo_shows_the_table_and_changes_and_leaves_nothing():
    before = set(os.listdir('/tmp'))
    result = subprocess.run(
        ['scripts/demo', '--seconds', '10'], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r'\d+ processes in the VM of app', result.stdout)
    assert re.search(r'^\+ appeared', result.stdout, re.M) and re.search(r'^- ended', result.stdout, re.M)
    assert 'furnace-demo' not in processes()
    assert not [name for name in set(os.listdir('/tmp')) - before if name.startswith('furnace-demo')]


def test_demo_that_is_interrupted_leaves_nothing():
    demo = subprocess.Popen(
        ['scripts/demo', '--seconds', '60'],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    for line in demo.stdout:
        if 'processes in the VM' in line:
            break
    os.killpg(demo.pid, 2)
    demo.stdout.read()
    assert demo.wait(30) != 0
    assert 'furnace-demo' not in processes()


def test_help_fits_and_every_command_has_it():
    commands = [
        (),
        ('vm',),
        ('vm', 'start'),
        ('vm', 'stop'),
        ('vm', 'list'),
        ('vm', 'console'),
        ('vm', 'snapshot'),
        ('ps',),
        ('profile',),
        ('profile', 'show'),
        ('profile', 'find'),
        ('profile', 'export'),
        ('rootfs',),
        ('rootfs', 'build'),
        ('rootfs', 'verify'),
        ('calls',),
        ('top',),
        ('keys',),
        ('keys', 'new'),
        ('doctor',),
        ('completion',),
        ('vmi',),
        ('app',),
        ('fac',),
        ('proxy',),
        ('backend',),
    ]
    for command in commands:
        text = furnace(*command, '--help').stdout
        assert 'Usage: furnace' in text, command


@pytest.mark.parametrize(
    'command',
    [
        ('ps', 'nosuch'),
        ('keys', 'check', '/nosuch'),
        ('vm', 'stop', 'nosuch'),
        ('vmi', 'nosuch'),
        ('proxy', '--ip', '127.0.0.1', '--ep', '127.0.0.1', '--ak', '/nosuch'),
    ],
    ids=lambda words: ' '.join(words[:2]),
)
def test_the_options_of_all_programs_are_taken_before_a_command_and_after_it(command):
    for words in (
        ['-d', '--log-format', 'json', *command],
        ['--log-format=json', '--debug', *command],
        [*command, '--log-format', 'json', '-d'],
    ):
        failed = furnace(*words, check=False)
        assert failed.returncode == 1, failed
        assert json.loads(failed.stderr.splitlines()[-1])['level'] == 'error'


@pytest.mark.parametrize(
    ('line', 'offered'),
    [
        ('do', ['doctor']),
        ('vm st', ['start', 'stop']),
        ('vm start --mem', ['--memory']),
        ('vmi some-vm --dri', ['--driver']),
        ('vmi --driver sn', ['snapshot']),
        ('vmi --driver x', ['xen']),
        ('vmi some-vm --events-by ', ['auto', 'breakpoints', 'writes']),
        ('vm start --accel t', ['tcg']),
        ('completion b', ['bash']),
        ('--log-format j', ['json']),
    ],
)
def test_bash_completes(line, offered):
    words = ['furnace', *line.split(' ')]
    script = f"""source <({FURNACE} completion bash)
COMP_WORDS=({' '.join(f"'{word}'" for word in words)}); COMP_CWORD={len(words) - 1}; _furnace; echo "${{COMPREPLY[@]}}\""""
    result = subprocess.run(['bash', '-c', script], capture_output=True, text=True)
    assert sorted(result.stdout.split()) == offered, result.stdout + result.stderr


def test_zsh_has_its_own_start_of_the_script():
    assert furnace('completion', 'zsh').stdout.startswith('#compdef furnace')


def test_partitions_stay_small(cloud):
    """RSS: furnace-vmi under 64 MB after a cold start (mapped guest RAM not counted), furnace-fac under 16
    MB.
    """
    vmi = cloud.start_vmi(env={**os.environ, 'FURNACE_CACHE': str(cloud.work / 'cache')})
    fac = cloud.start_fac()
    assert resident_mb(vmi.pid) < 64
    if 'asan' not in str(BUILD):
        assert resident_mb(fac.pid) < 16
