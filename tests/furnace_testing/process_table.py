"""The processes of a guest as it sees them itself, and as Furnace does."""

import json
import re
import time

from furnace_testing.commands import furnace


def comm(name):
    """/proc shows more than task_struct.comm for kernel threads: a worker's queue behind its name, and long
    names whole.
    """
    return re.sub(r'^(kworker/(?!R)[^-+]*)[-+].*', r'\1', name)[:15]


def inside(guest):
    """(pid, ppid, uid, name, kernel thread) of each process, from the guest's own /proc."""
    awk = (
        r"""awk 'FNR==1{if(n)print p,q,u,k,n;n="";k=0} /^Name:/{sub(/^Name:\t/,"");n=$0} """
        r"""/^Pid:/{p=$2} /^PPid:/{q=$2} /^Uid:/{u=$2} """
        r"""/^Kthread:/{k=$2} END{print p,q,u,k,n}' /proc/[0-9]*/status 2>/dev/null"""
    )
    rows = set()
    for line in guest.run(awk).splitlines():
        match = re.match(r'(\d+) (\d+) (\d+) (\d+) (.*)', line)
        if match and match[5] != 'awk':
            pid, ppid, uid = map(int, match.groups()[:3])
            rows.add((pid, ppid, uid, comm(match[5]), pid == 2 or ppid == 2))
    return rows


def outside(guest):
    listed = json.loads(furnace('ps', guest.name, '--json').stdout)
    assert len({p['task'] for p in listed}) == len(listed)
    return {(p['pid'], p['ppid'], p['uid'], p['name'], p['kernel_thread']) for p in listed}


def compare(guest):
    """Workers come and go: equal once within a few looks is equal. The outside look is taken at a pause."""
    for _ in range(10):
        seen_inside = inside(guest)
        guest.qmp('stop')
        seen_outside = outside(guest)
        guest.qmp('cont')
        if seen_inside == seen_outside:
            return
        time.sleep(0.3)
    assert seen_inside == seen_outside
