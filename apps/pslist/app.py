"""The process list in three ways: by single calls (as apps of 1.0 do it), in one batch, by one call.

    furnace app -c apps/pslist/app --u2 ps --vmi DIR --md calls|batch|list

All three print the same lines, 'pid name'; what they cost differs by the number of messages.
"""

import time

import fe


class App:
    def __init__(self, ctx):
        start = time.perf_counter()
        processes = {'calls': by_calls, 'batch': by_batch, 'list': by_list}[ctx['metadata'] or 'list']()
        took = time.perf_counter() - start
        for pid, name in processes:
            print(f'{pid:7} {name}')
        fe.log(f'{len(processes)} processes in {took * 1000:.1f} ms')
        fe.exit()


def by_calls():
    """Three messages for each process."""
    tasks, name, pid = fe.get_offset('linux_tasks'), fe.get_offset('linux_name'), fe.get_offset('linux_pid')
    head = fe.lookup_symbol('init_task') + tasks
    found, seen, node = [], set(), fe.checked.read_addr_va(head, 0)
    while node != head:
        if node in seen:
            raise fe.VmiError(f'the task list runs in a circle after {len(found)} tasks')
        seen.add(node)
        found.append(
            (fe.checked.read_32_va(node - tasks + pid, 0), fe.checked.read_str_va(node - tasks + name, 0))
        )
        node = fe.checked.read_addr_va(node, 0)
    return found


def by_batch(most=333):
    """One message for up to 333 processes: every read takes its address from the answer to an earlier one."""
    tasks, name, pid = fe.get_offset('linux_tasks'), fe.get_offset('linux_name'), fe.get_offset('linux_pid')
    head = fe.lookup_symbol('init_task') + tasks
    found, node = [], head
    while True:
        batch = fe.batch_new()
        batch.add('next0', 'READ_ADDR_VA', {'vaddr': node, 'pid': 0})
        for i in range(most):
            at = dict(linkname=f'next{i}', linkfield='result', linktgt='vaddr', linkopr=fe.ADD)
            batch.add(f'pid{i}', 'READ_32_VA', {'vaddr': (pid - tasks) % 2**64, 'pid': 0}, **at)
            batch.add(f'name{i}', 'READ_STR_VA', {'vaddr': (name - tasks) % 2**64, 'pid': 0}, **at)
            batch.add(f'next{i + 1}', 'READ_ADDR_VA', {'vaddr': 0, 'pid': 0}, **at)
        fe.batch_send(batch)
        results = [result.get('result', 0) for result in batch.results()]
        for i in range(most):
            node = results[3 * i]
            if node == head or node == 0:
                return found
            found.append((results[3 * i + 1], results[3 * i + 2]))
        node = results[3 * (most - 1)]


def by_list():
    """One call: the VMI partition walks the list."""
    return [(pid, process['name']) for pid, process in fe.checked.process_list().items()]
