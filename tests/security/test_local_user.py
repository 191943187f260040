"""What a local user prepares for root: links, files and directories in the places that partitions use."""

import os
import signal
import subprocess

import pytest
from conftest import APP, Cloud, furnace, wait_for

NOBODY = 65534
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason='needs another user')
OTHER = '22222222-2222-2222-2222-222222222222-app'

APP_CODE = '''
import fe, os
class App:
    def __init__(self, ctx):
        print('sees the lock', os.path.exists('/opt/furnace/vmi_socket/vmi_rtr.lock'), flush=True)
        fe.event_register({'event_type': fe.TIMER, 'time_value': 0.05, 'callback': self.look})
    def look(self, _):
        print('read', len(fe.process_list()) > 0, flush=True)
'''


@pytest.fixture
def target(work):
    """A directory of root's that root's own programs must not change."""
    directory = work / 'target'
    directory.mkdir(mode=0o755)
    (directory / 'file').write_text('x')
    (directory / 'file').chmod(0o640)
    return directory


def access_list(path):
    try:
        return os.getxattr(path, 'system.posix_acl_default', follow_symlinks=False)
    except OSError:
        return b''


def state_of(directory):
    """Owner, mode and access list of everything below."""
    return [(str(each), each.lstat().st_uid, each.lstat().st_mode, access_list(each)) for each in [directory, *sorted(directory.rglob('*'))]]


def theirs(path):
    """A directory that another user has made."""
    path.mkdir(parents=True)
    os.chown(path, NOBODY, NOBODY)
    return path


def start(kind, work, directory):
    """A partition's start with this directory; its result."""
    keys = work / 'keys'
    if not keys.exists():
        furnace('keys', 'new', keys)
    arguments = {
        'vmi': ['vmi', 'sim', '--driver', 'simulator', '--vmi', directory],
        'fac': ['fac', '--u2', APP, '--kp', keys, '--ip', '127.0.0.1', '--it', '9', '--fac', directory],
        'app by vmi': ['app', '-c', work / 'app', '--u2', APP, '--vmi', directory],
        'app by fac': ['app', '-c', work / 'app', '--u2', APP, '--vmi', work / 'vmi', '--fac', directory],
    }[kind]
    (work / 'app.py').write_text(APP_CODE)
    try:
        return furnace(*arguments, '-m', 'App', check=False, timeout=20) if kind.startswith('app') else furnace(*arguments, check=False, timeout=20)
    except subprocess.TimeoutExpired as running:
        return running


KINDS = ['vmi', 'fac', 'app by vmi', 'app by fac']


@pytest.mark.parametrize('kind', KINDS)
def test_a_directory_of_another_user_is_refused(kind, work):
    directory = theirs(work / 'theirs')
    refused = start(kind, work, directory)
    assert 'belongs to user nobody' in str(refused.stderr), refused
    assert directory.stat().st_uid == NOBODY and list(directory.iterdir()) == []


@pytest.mark.parametrize('kind', KINDS)
def test_a_directory_below_another_users_is_refused(kind, work):
    theirs(work / 'theirs')
    refused = start(kind, work, work / 'theirs' / 'mine')
    assert 'belongs to user nobody' in str(refused.stderr), refused


@pytest.mark.parametrize('kind', KINDS)
def test_a_link_of_another_user_is_not_followed(kind, work, target):
    before = state_of(target)
    link = work / 'link'
    link.symlink_to(target)
    os.lchown(link, NOBODY, NOBODY)
    refused = start(kind, work, link)
    assert 'belongs to user nobody' in str(refused.stderr), refused
    assert state_of(target) == before


@pytest.mark.parametrize('kind', ['vmi', 'app by vmi'])
def test_a_link_in_place_of_an_apps_directory_is_not_followed(kind, work, target):
    before = state_of(target)
    directory = work / 'sockets'
    directory.mkdir()
    (directory / APP).symlink_to(target)
    os.lchown(directory / APP, NOBODY, NOBODY)
    start(kind, work, directory)
    assert state_of(target) == before


@pytest.mark.parametrize('kind', ['vmi', 'fac'])
def test_what_a_link_in_the_directory_leads_to_keeps_its_owner(kind, work, target):
    before = state_of(target)
    directory = work / 'sockets'
    directory.mkdir()
    (directory / 'link').symlink_to(target / 'file')
    (directory / 'vmi_rtr').symlink_to(target / 'file')
    start(kind, work, directory)
    assert state_of(target) == before


def test_a_hard_link_in_the_directory_is_not_given_away(work, target):
    directory = work / 'sockets'
    directory.mkdir()
    os.link(target / 'file', directory / 'hard')
    refused = start('vmi', work, directory)
    assert 'hard links' in str(refused.stderr), refused
    assert (target / 'file').stat().st_uid == 0


def test_a_directory_that_everybody_can_write_to_is_refused(work):
    directory = work / 'open'
    directory.mkdir()
    directory.chmod(0o777)
    assert 'can be written by everybody' in str(start('vmi', work, directory / 'sockets').stderr)


def test_a_fifo_in_place_of_a_directory_is_refused(work):
    os.mkfifo(work / 'fifo')
    assert 'irectory' in str(start('vmi', work, work / 'fifo').stderr)


@pytest.mark.parametrize('how', [signal.SIGTERM, signal.SIGKILL], ids=['in order', 'killed'])
def test_an_app_sees_its_own_socket_alone_whatever_an_earlier_partition_left(work, how):
    """What one of ours leaves behind is not taken for a partition of another make."""
    cloud = Cloud(work, 'sim', driver='simulator')
    try:
        first = cloud.start_vmi()
        earlier = cloud.start_app(APP_CODE, app=OTHER)
        earlier.wait_out('read True')
        first.stop(how)
        earlier.stop()
        app = cloud.start_app(APP_CODE)
        wait_for(lambda: 'no VMI partition serves' in app.log, 10, 'the app to wait')
        cloud.start_vmi()
        app.wait_out('read True')
        assert 'sees the lock False' in app.out, app.out  # it lies in the common directory
    finally:
        cloud.stop()
