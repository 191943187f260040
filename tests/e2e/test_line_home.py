"""Storage, messages and keys, through real FAC, proxy and backend processes."""

from furnace_testing import APP, APPS, ROOT, eventually, furnace, run_app


def line(cloud):
    cloud.start_vmi()
    backend = cloud.start_backend(APPS / 'echo_backend')
    backend.wait_log('listening')
    cloud.start_proxy().wait_log('connected to the backend')
    cloud.start_fac().wait_log('connected to the proxy')
    return backend


def test_requests_are_answered_and_failures_raise(sim_cloud):
    backend = line(sim_cloud)
    answers, error, again, large = run_app(
        sim_cloud,
        '''
show([fe.request('one'), fe.request('gr\\u00fc\\u00df')])
try:
    fe.request('raise')
except fe.VmiError as e:
    show(str(e))
show(fe.request('two'))
show(len(fe.request('x' * 5000000)))
''',
    )
    assert answers == ['echo one', 'echo grüß']
    assert 'backend failed' in error
    assert again == 'echo two'
    assert large == 5000005
    assert f'{APP} SYNC one' in backend.out
    assert 'ValueError: as asked' in backend.log, 'the traceback is in the log, and the backend goes on'


def test_messages_both_ways(sim_cloud):
    backend = line(sim_cloud)
    app = sim_cloud.start_app(APPS / 'listening')
    app.wait_out('notify for you')
    app.wait_out('broadcast for all')
    backend.wait_out(f'{APP} ASYNC notify me')
    backend.stop()
    assert 'backend shutdown' in backend.out


def test_stored_values_survive_a_restart_of_fac(sim_cloud):
    sim_cloud.start_vmi()
    fac = sim_cloud.start_fac(quota=100)
    first, errors = run_app(
        sim_cloud,
        '''
show([fe.io_set('key-1', 'gr\\u00fc\\u00df'), fe.io_get('key-1')])
errors = []
for call in (lambda: fe.io_get('missing'), lambda: fe.io_set('bad key', 'x'), lambda: fe.io_set('k', 'x' * 101)):
    try:
        call()
    except fe.VmiError as e:
        errors.append(str(e))
show(errors)
''',
    )
    assert first == ['key-1', 'grüß']
    assert [e.split(':')[0] for e in errors] == ["io_get('missing')", "io_set('bad key')", "io_set('k')"]
    fac.stop()
    sim_cloud.start_fac()
    assert run_app(sim_cloud, "show(fe.io_get('key-1'))") == ['grüß']


def test_a_wrong_key_lets_no_peer_in_and_is_named_on_both_sides(sim_cloud, work):
    backend = sim_cloud.start_backend(APPS / 'echo_backend')
    proxy = sim_cloud.start_proxy()
    proxy.wait_log('connected to the backend')
    stranger = work / 'stranger'
    furnace('keys', 'new', stranger)
    (stranger / 'be.pub').write_bytes((sim_cloud.keys / 'be.pub').read_bytes())
    fac = sim_cloud.start_fac(keys=stranger)
    fac.wait_log('not on its allow-list')
    proxy.wait_log('refused a peer')
    assert backend.out == ''


def test_a_wrong_server_key_is_named(sim_cloud, work):
    sim_cloud.start_backend(APPS / 'echo_backend')
    sim_cloud.start_proxy()
    other = work / 'other'
    furnace('keys', 'new', other)
    (other / 'app.key').write_bytes((sim_cloud.keys / 'app.key').read_bytes())
    sim_cloud.start_fac(keys=other).wait_log('wrong server key', seconds=40)


def test_restarts_of_proxy_and_backend_are_survived(sim_cloud):
    backend = line(sim_cloud)
    app = sim_cloud.start_app(APPS / 'listening')
    app.wait_out('notify for you')
    for process, start in (
        (backend, lambda: sim_cloud.start_backend(APPS / 'echo_backend')),
        (sim_cloud.processes[2], sim_cloud.start_proxy),
    ):
        process.stop()
        start()
        before = len(app.out)
        eventually(lambda: 'notify for you' in app.out[before:], 15, 'a notification')
    assert app.process.poll() is None


def test_an_answerless_app_is_not_stuck(sim_cloud):
    """No proxy at all: a one-way message is taken, storage works."""
    sim_cloud.start_vmi()
    sim_cloud.start_fac()
    shown = run_app(sim_cloud, "fe.notify('into the void'); fe.io_set('a', 'b'); show(fe.io_get('a'))")
    assert shown == ['b']


def test_process_watch_example(cloud, shared_guest):
    """The example app against the live guest, as the demo runs it."""
    cloud.start_vmi()
    backend = cloud.start_backend(ROOT / 'apps' / 'process_watch' / 'backend')
    cloud.start_proxy().wait_log('connected to the backend')
    cloud.start_fac().wait_log('connected to the proxy')
    cloud.start_app(ROOT / 'apps' / 'process_watch' / 'app', metadata='0.2')
    backend.wait_out(r'\d+ processes in the VM of app')
    backend.wait_out(r'kernel +kthreadd')
    shared_guest.run('sleep 31 & echo $! > /tmp/p')
    pid = shared_guest.run('cat /tmp/p').strip()
    backend.wait_out(rf'\+ appeared +{pid} .* sleep ')
    shared_guest.run(f'kill {pid}')
    backend.wait_out(rf'- ended +{pid} .* sleep ')
