"""Storage, messages and keys, through real FAC, proxy and backend processes."""

from conftest import APP, furnace, run_app, wait_for

ECHO_BACKEND = '''
import be
class AppBE:
    def __init__(self, ctx):
        be.event_register({'event_type': be.FE, 'callback': self.message})
    def message(self, ctx):
        print(ctx.ident, 'SYNC' if ctx.sync == be.SYNC else 'ASYNC', ctx.message[:40])
        if ctx.message == 'raise': raise ValueError('as asked')
        if ctx.message == 'notify me': be.notify(ctx.ident, 'for you')
        if ctx.message == 'tell all': be.broadcast('for all')
        return 'echo ' + ctx.message
    def shutdown(self):
        print('backend shutdown')
'''

LISTENING_APP = '''
import fe
class App:
    def __init__(self, ctx):
        fe.event_register({'event_type': fe.BE, 'callback': self.message})
        fe.event_register({'event_type': fe.TIMER, 'time_value': 0.1, 'callback': self.tick})
    def tick(self, ctx):
        fe.notify('tell all')
        fe.notify('notify me')
    def message(self, ctx):
        print(ctx.type, ctx.message)
'''


def line(cloud):
    cloud.start_vmi()
    backend = cloud.start_backend(ECHO_BACKEND)
    backend.wait_log('listening')
    cloud.start_proxy().wait_log('connected to the backend')
    cloud.start_fac().wait_log('connected to the proxy')
    return backend


def test_requests_are_answered_and_failures_raise(sim):
    backend = line(sim)
    answers, error, again, large = run_app(sim, '''
show([fe.request('one'), fe.request('gr\\u00fc\\u00df')])
try:
    fe.request('raise')
except fe.VmiError as e:
    show(str(e))
show(fe.request('two'))
show(len(fe.request('x' * 5000000)))
''')
    assert answers == ['echo one', 'echo grüß']
    assert 'backend failed' in error
    assert again == 'echo two'
    assert large == 5000005
    assert f'{APP} SYNC one' in backend.out
    assert 'ValueError: as asked' in backend.log, 'the traceback is in the log, and the backend goes on'


def test_messages_both_ways(sim):
    backend = line(sim)
    app = sim.start_app(LISTENING_APP)
    app.wait_out('notify for you')
    app.wait_out('broadcast for all')
    backend.wait_out(f'{APP} ASYNC notify me')
    backend.stop()
    assert 'backend shutdown' in backend.out


def test_stored_values_survive_a_restart_of_fac(sim):
    sim.start_vmi()
    fac = sim.start_fac(quota=100)
    first, errors = run_app(sim, '''
show([fe.io_set('key-1', 'gr\\u00fc\\u00df'), fe.io_get('key-1')])
errors = []
for call in (lambda: fe.io_get('missing'), lambda: fe.io_set('bad key', 'x'), lambda: fe.io_set('k', 'x' * 101)):
    try:
        call()
    except fe.VmiError as e:
        errors.append(str(e))
show(errors)
''')
    assert first == ['key-1', 'grüß']
    assert [e.split(':')[0] for e in errors] == ["io_get('missing')", "io_set('bad key')", "io_set('k')"]
    fac.stop()
    sim.start_fac()
    assert run_app(sim, "show(fe.io_get('key-1'))") == ['grüß']


def test_a_wrong_key_gets_nobody_in_and_is_named_on_both_sides(sim, work):
    backend = sim.start_backend(ECHO_BACKEND)
    proxy = sim.start_proxy()
    proxy.wait_log('connected to the backend')
    stranger = work / 'stranger'
    furnace('keys', 'new', stranger)
    (stranger / 'be.pub').write_bytes((sim.keys / 'be.pub').read_bytes())
    fac = sim.start_fac(keys=stranger)
    fac.wait_log('not on its allow-list')
    proxy.wait_log('refused a peer')
    assert backend.out == ''


def test_a_wrong_server_key_is_named(sim, work):
    sim.start_backend(ECHO_BACKEND)
    sim.start_proxy()
    other = work / 'other'
    furnace('keys', 'new', other)
    (other / 'app.key').write_bytes((sim.keys / 'app.key').read_bytes())
    sim.start_fac(keys=other).wait_log('wrong server key', seconds=40)


def test_restarts_of_proxy_and_backend_are_survived(sim):
    backend = line(sim)
    app = sim.start_app(LISTENING_APP)
    app.wait_out('notify for you')
    for process, start in ((backend, lambda: sim.start_backend(ECHO_BACKEND)), (sim.processes[2], sim.start_proxy)):
        process.stop()
        start()
        before = len(app.out)
        wait_for(lambda: 'notify for you' in app.out[before:], 15, 'a notification')
    assert app.process.poll() is None


def test_an_answerless_app_is_not_stuck(sim):
    """No proxy at all: a one-way message is taken, storage works."""
    sim.start_vmi()
    sim.start_fac()
    shown = run_app(sim, "fe.notify('into the void'); fe.io_set('a', 'b'); show(fe.io_get('a'))")
    assert shown == ['b']


def test_process_watch_example(cloud, guest):
    """The example app against the live guest, as the demo runs it."""
    from conftest import ROOT
    cloud.start_vmi()
    backend = cloud.start_backend(ROOT / 'apps' / 'process_watch' / 'backend')
    cloud.start_proxy().wait_log('connected to the backend')
    cloud.start_fac().wait_log('connected to the proxy')
    cloud.start_app(ROOT / 'apps' / 'process_watch' / 'app', metadata='0.2')
    backend.wait_out(r'\d+ processes in the VM of app')
    backend.wait_out(r'kernel +kthreadd')
    guest.run('sleep 31 & echo $! > /tmp/p')
    pid = guest.run('cat /tmp/p').strip()
    backend.wait_out(rf'\+ appeared +{pid} .* sleep ')
    guest.run(f'kill {pid}')
    backend.wait_out(rf'- ended +{pid} .* sleep ')
