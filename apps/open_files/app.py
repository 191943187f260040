"""Open files and sockets of every process, as lsof lists them.

    furnace app -c apps/open_files/app --u2 files --vmi DIR [--md PID]
"""

import fe
import furnace_linux


class App:
    def __init__(self, ctx):
        only = int(ctx['metadata']) if ctx['metadata'] else None
        print(f'{"PID":>7} {"NAME":<16} {"FD":>4}  FILE')
        for task in fe.tasks():
            if only not in (None, task.tgid):
                continue
            try:
                self.show(task)
            except fe.VmiError as error:  # it ended meanwhile, or its structures are damaged
                print(f'{task.tgid:>7} {task.comm:<16}    ?  {error}')
        fe.exit()

    def show(self, task):
        for file in furnace_linux.open_files(task):
            text = file.path
            if file.socket:
                ends = f' {file.socket.local} -> {file.socket.remote}' if file.socket.local else ''
                text = f'{file.socket.protocol}{ends} {file.socket.state}'.rstrip() + f'  {file.path}'
            print(f'{task.tgid:>7} {task.comm:<16} {file.descriptor:>4}  {text}')
