"""A first app: prints what runs in the VM, then every second how long its kernel has been up."""

import fe


class App:
    def __init__(self, ctx):
        for pid, process in sorted(fe.process_list().items()):
            print(pid, process['name'])
        fe.event_register({'event_type': fe.TIMER, 'time_value': 1.0, 'callback': self.tick})
        self.ticks = 0

    def tick(self, ctx):
        print('jiffies:', fe.checked.read_64_ksym('jiffies'))
        self.ticks += 1
        if self.ticks == 3:
            fe.exit()
