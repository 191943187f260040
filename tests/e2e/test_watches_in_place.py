"""What is watched for events is looked after: a vCPU that lacks it is found by the partition itself."""

from furnace_testing import APPS, Cloud, Guest, eventually, start_by_hand


def test_events_of_a_vcpu_that_is_plugged_in_later_come_and_what_was_missed_is_reported(work):
    name, qemu = start_by_hand(work, '-smp', '1,maxcpus=2', '-qmp', f'unix:{work}/qmp2,server=on,wait=off')
    try:
        guest = Guest(name, work)
        cloud = Cloud(work, name)
        vmi = cloud.start_vmi()
        app = cloud.start_app(APPS / 'watches_in_place')
        app.wait_out('watching', 30)
        guest.qmp(
            'device_add',
            driver='max-x86_64-cpu',
            **{'socket-id': 0, 'core-id': 1, 'thread-id': 0, 'id': 'late'},
        )
        eventually(lambda: 'cpu1' in guest.run('ls /sys/devices/system/cpu'), 20, 'the plugged vCPU')
        guest.run('echo 1 > /sys/devices/system/cpu/cpu1/online')
        eventually(lambda: 'was not in place' in vmi.log, 25, 'the partition to notice')
        guest.run('taskset 2 hostname late')
        eventually(
            lambda: {'event SYSCALL 1', 'event PROCESS_EXECUTED 1'} <= set(app.out.splitlines()),
            10,
            f'both events: {app.out} {app.log} {vmi.log}',
        )
    finally:
        cloud.stop()
        qemu.kill()
        qemu.wait()


def test_what_is_in_place_is_checked_silently(shared_guest, cloud):
    vmi = cloud.start_vmi('-d')
    app = cloud.start_app(APPS / 'watches_in_place')
    app.wait_out('watching', 30)
    eventually(lambda: 'in place' in vmi.log, 25, 'a look')
    assert 'was not in place' not in vmi.log
    shared_guest.run('hostname $(hostname)')
    app.wait_out('event SYSCALL', 10)
