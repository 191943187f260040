"""Open files and sockets of every process, as lsof lists them.

    furnace app -c apps/open_files/app --u2 files --vmi DIR [--md PID]

FILE is what `readlink /proc/PID/fd/FD` prints in the guest, after it what a socket is, and in brackets why
something could not be read. What would control a terminal is escaped.
"""

from furnace_linux import open_files_of, printable

import fe


class App:
    def __init__(self, ctx):
        only = int(ctx['metadata']) if ctx['metadata'] else None
        found = {task: (pid, name) for pid, name, task in processes() if only in (None, pid)}
        print(f'{"PID":>7} {"NAME":<16} {"FD":>4}  FILE')
        try:
            for task, file in open_files_of(found):
                pid, name = found[task]
                descriptor = '?' if file.descriptor is None else file.descriptor
                print(f'{pid:>7} {printable(name):<16} {descriptor:>4}  {shown(file)}')
        except fe.VmiError as error:
            print(f'[{printable(str(error))}]')
        fe.exit()


def shown(file):
    parts = [file.path]
    if file.socket:
        ends = [f'{file.socket.local} ->', file.socket.remote] if file.socket.remote else [file.socket.local]
        words = [file.socket.protocol, file.socket.kind, *ends, file.socket.state]
        parts.append(' '.join(filter(None, words)))
    if file.reason:
        parts.append(f'[{file.reason}]')
    return '  '.join(map(printable, parts))


def processes():
    """Yields (pid, name, address of its task_struct); of a damaged list those before the damage, which it
    prints."""
    try:
        for pid, process in fe.checked.process_list().items():
            yield pid, process['name'], process['process_block_ptr']
        return
    except fe.VmiError as error:
        print(f'[{printable(str(error))}]')
    try:
        for task in fe.tasks():
            yield task.tgid, task.comm, int(task)
    except fe.VmiError:
        pass
