"""What inspection costs a program in steady state; its start: partitions.py. Usage: inspection.py (after a
build)
"""

import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = ROOT / 'build' / 'bin'

CALLS = '''
#include <stdio.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
/* The cheapest filter there can be: one instruction, which allows everything. */
static void filter_nothing(void) {
  struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  struct sock_fprog filter = {1, &allow};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) != 0) abort();
}
int main(int count, char** arguments) {
  if (count > 1) filter_nothing();
  int word = 0, zero = open("/dev/zero", O_RDONLY);
  char byte;
  struct timespec a, b;
  open("ESTABLISHED", O_RDONLY);
  for (int what = 0; what < 3; ++what) {
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (int i = 0; i < 1000000; ++i) {
      if (what == 0) syscall(SYS_getpid);
      if (what == 1) read(zero, &byte, 1);
      if (what == 2) syscall(SYS_futex, &word, FUTEX_WAKE, 1, 0, 0, 0);
    }
    clock_gettime(CLOCK_MONOTONIC, &b);
    printf("%ld\\n", (b.tv_sec - a.tv_sec) * 1000000000L + b.tv_nsec - a.tv_nsec);
  }
}
'''


def main():
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        (work / 'calls.c').write_text(CALLS)
        program = work / 'calls'
        subprocess.run(['gcc', '-O2', '-o', program, work / 'calls.c'], check=True)
        policy = work / 'calls.policy'
        calls = re.findall(r'__NR_(\w+)', Path('/usr/include/x86_64-linux-gnu/asm/unistd_64.h').read_text())
        policy.write_text(
            ''.join(f'ALLOW {name}\n' for name in calls[:100] if name != 'open')
            + 'A TRACE openat\nALLOW exit_group\nALLOW futex\nALLOW clock_gettime\nALLOW arch_prctl\nALLOW'
            ' set_tid_address\nALLOW set_robust_list\nALLOW rseq\nALLOW prlimit64\nALLOW getrandom\nALLOW'
            ' newfstatat\nALLOW clock_gettime\n'
        )
        inside = [BIN / 'furnace-inspect', '--policy', policy, '--', program]
        rounds = []
        for _ in range(5):
            runs = [
                subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
                for command in (inside, [program, 'floor'], [program])
            ]
            rounds.append(list(zip(*[[int(ns) for ns in run] for run in runs])))
        for i, name in enumerate(('getpid', 'read', 'futex')):
            plain = statistics.median(each[i][2] for each in rounds) / 1e6
            ours, floor = (
                statistics.median(each[i][which] / each[i][2] for each in rounds) for which in (0, 1)
            )
            print(
                f'1,000,000 {name} calls: {plain:.0f} ns each outside, {ours:.3f}x inside; floor, a filter of'
                f' one instruction: {floor:.3f}x'
            )


sys.exit(main())
