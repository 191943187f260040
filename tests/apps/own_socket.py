"""Prints the sockets that it sees, and whether it may write to memory."""

import os

import fe


class App:
    def __init__(self, ctx):
        fe.event_register({'event_type': fe.TIMER, 'time_value': 0.05, 'callback': self.tell})

    def tell(self, ctx):
        try:
            fe.checked.write_64_ksym('jiffies', 5)
            may = True
        except Exception as error:
            may = str(error)
        print(sorted(os.listdir('/opt/furnace/vmi_socket')), may, flush=True)
