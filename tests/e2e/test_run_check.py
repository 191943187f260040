"""`furnace run --check` finds all that would keep an app from running, names it, and ends with 1."""

import os
import re
import subprocess

import pytest

from furnace_testing import eventually, furnace

GOOD = '[vm]\nname = "sim"\ndriver = "simulator"\n'
LINE = '[home]\nproxy = "127.0.0.1:5561"\nbackend = "127.0.0.1:5571"\n'


@pytest.fixture
def check(work):
    """check(manifest): `furnace run my-app --check` on it, with a good app beside it."""
    (work / 'app.py').write_text('class App:\n    pass\n')
    (work / 'furnace.toml').write_text(GOOD)

    def run(manifest, **options):
        (work / 'furnace.toml').write_text(manifest)
        return furnace(
            'run', 'my-app', '--manifest', work / 'furnace.toml', '--check', check=False, **options
        )

    return run


def test_a_good_manifest_passes(check):
    assert check(GOOD).returncode == 0


@pytest.mark.parametrize(
    'manifest, error',
    [
        ('code = "nothing"\n' + GOOD, r"'code': neither \S+/nothing.py nor \S+/nothing.so exists"),
        ('code = "nothing.so"\n' + GOOD, r"'code': \S+/nothing.so: No such file"),
        ('class = "Appp"\n' + GOOD, r"app.py: it defines no class 'Appp' \(its classes: App\)"),
        ('files = ["rules.json"]\n' + GOOD, "'files': .*rules.json: No such file"),
        (GOOD + LINE, "app.key: No such file(.|\n)*be.pub: No such file(.|\n)*be.key: No such file"),
        (
            '[vm]\nname = "no-such-vm"\n',
            r"VM 'no-such-vm' does not exist \((no VM runs here|running here: .*)\)",
        ),
        (
            '[vm]\nname = "gone.elf"\ndriver = "snapshot"\n',
            "VM 'gone.elf' does not exist: there is no such file",
        ),
        (GOOD + 'sockets = "app.py/sockets"\n', "app.py: not a directory"),
        (GOOD + LINE.replace('5571', '5562'), "'proxy' and 'backend' both use port 5562 of 127.0.0.1"),
        (
            GOOD + '[limits.app]\nmemory_mb = -3\n',
            "furnace.toml:5: 'memory_mb' is -3: expected a whole number, 1 to 16777216 MB",
        ),
        (
            GOOD + LINE.replace('5571', '70000'),
            "'backend' is '127.0.0.1:70000': expected \"IP:PORT\", with a port from 1 to 65534",
        ),
    ],
)
def test_what_is_wrong_is_named(check, manifest, error):
    refused = check(manifest)
    assert refused.returncode == 1 and re.search(error, refused.stderr), refused.stderr
    assert refused.stdout == ''


def test_all_problems_are_listed(check):
    refused = check(
        'class = "Other"\nfiles = ["a", "b"]\n[vm]\nname = "no-such-vm"\n[limits.fac]\ncpu_percent = 0\n'
    )
    assert refused.returncode == 1 and ' 5 problems:' in refused.stderr, refused.stderr
    for each in (
        "no class 'Other'",
        '/a: No such file',
        '/b: No such file',
        "VM 'no-such-vm'",
        "'cpu_percent' is 0",
    ):
        assert each in refused.stderr, refused.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason='only root can become another user')
def test_what_cannot_be_read_or_written_is_named(check, work):
    work.chmod(0o755)
    (work / 'app.py').chmod(0o600)
    refused = check(GOOD, user='nobody', cwd='/')
    assert refused.returncode == 1
    assert "'code': " in refused.stderr and 'app.py: Permission denied' in refused.stderr, refused.stderr
    assert f"{work}: can't be written to: Permission denied" in refused.stderr, refused.stderr
    assert f"{work}/vmi_socket: can't be made in {work}: Permission denied" in refused.stderr, refused.stderr


def test_the_vms_that_exist_are_named(check, work):
    emulator = work / 'qemu-system-x86_64'
    emulator.symlink_to('/usr/bin/python3')
    vm = subprocess.Popen([emulator, '-c', 'import time; time.sleep(60)', '-name', 'a-stand-in'])
    try:
        missing = '[vm]\nname = "other"\n'
        eventually(
            lambda: re.search(
                r"VM 'other' does not exist \(running here: .*a-stand-in", check(missing).stderr
            )
        )
        assert check('[vm]\nname = "a-stand-in"\n').returncode == 0
        waits = check('wait_for_vm = true\n' + missing)
        assert waits.returncode == 0 and "VM 'other' does not exist" in waits.stderr, waits.stderr
    finally:
        vm.kill()
        vm.wait()


def test_an_app_id_that_is_in_use_is_named(check, work, sim_cloud):
    sim_cloud.start_vmi()
    sim_cloud.start_app(
        'import fe\nclass App:\n    def __init__(self, ctx): print("up", flush=True)\n', app='my-app'
    ).wait_out('up')
    refused = check(GOOD)
    assert refused.returncode == 1 and "app id 'my-app' is in use" in refused.stderr, refused.stderr


def test_a_key_of_another_app_is_named(check, work):
    furnace('keys', 'new', work, '--app', 'other-app')
    refused = check(GOOD + LINE)
    assert (
        refused.returncode == 1 and 'it is the key of app other-app, not of my-app' in refused.stderr
    ), refused.stderr


def test_tenant_code_is_not_run(check, work):
    (work / 'app.py').write_text(f'open("{work}/ran", "w")\nclass App:\n    pass\n')
    assert check(GOOD).returncode == 0 and not (work / 'ran').exists()


def test_help_shows_the_defaults():
    shown = furnace('run', '--help').stdout
    assert re.search(r'start_limit_burst = 8', shown) and re.search(
        r'start_limit_interval_seconds = 300', shown
    )
    assert 'wait_for_vm = false' in shown


def test_run_refuses_what_check_refuses(check, work):
    (work / 'furnace.toml').write_text('class = "Appp"\n' + GOOD)
    refused = furnace('run', 'my-app', '--manifest', work / 'furnace.toml', check=False)
    assert (
        refused.returncode == 1
        and "it defines no class 'Appp'" in refused.stderr
        and 'vmi' not in refused.stderr
    ), refused.stderr
