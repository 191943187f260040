// Runs in the guest while it is watched, and checks its own work: a lost write, a lost flag or an instruction that ran twice
// makes a wrong sum or a wrong counter. Without a C library, so that the file is small.
//
// Usage: workload WORKERS. It prints "page ADDRESS" and a "worker PID" each, works until /tmp/stop exists, then prints
// "rounds N wrong N counter N added N".
typedef unsigned long u64;

static long call6(long number, long a, long b, long c, long d, long e, long f) {
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}

static long call(long number, long a, long b, long c) { return call6(number, a, b, c, 0, 0, 0); }

enum { kRead = 0, kWrite = 1, kMmap = 9, kAccess = 21, kPipe = 22, kYield = 24, kNanosleep = 35, kFork = 57, kExit = 60, kWait4 = 61 };

static void print(const char* text) {
  long size = 0;
  while (text[size] != 0) ++size;
  call(kWrite, 1, (long)text, size);
}

static void say(const char* what, u64 value) {
  char text[21];
  int at = 20;
  text[at] = 0;
  do text[--at] = (char)('0' + value % 10);
  while ((value /= 10) != 0);
  print(what);
  print(text + at);
}

/* Shared by all workers. `watched` lies in the page of the locks, so that locked instructions meet a watched page. */
struct Shared {
  volatile u64 watched;
  volatile u64 lock;
  volatile u64 counter;   // changed under `lock` only
  volatile u64 added;     // changed by lock xadd
  volatile u64 rounds, wrong;
  volatile u64 spare[506];
};

static struct Shared* shared;

/* Takes the lock by the flag that lock cmpxchg leaves. */
static void take(void) {
  for (u64 tries = 0;; ++tries) {
    unsigned char taken;
    u64 expected = 0;
    __asm__ volatile("lock cmpxchgq %3, %1; setz %0" : "=q"(taken), "+m"(shared->lock), "+a"(expected) : "r"(1UL) : "cc", "memory");
    if (taken) return;
    if (tries % 64 == 63) call(kYield, 0, 0, 0);
    __asm__ volatile("pause");
  }
}

static void give(void) {
  unsigned char last;
  __asm__ volatile("lock decq %0; setz %1" : "+m"(shared->lock), "=q"(last) : : "cc", "memory");
  if (!last) __asm__ volatile("lock incq %0" : "+m"(shared->wrong) : : "cc");
}

static void work_with_locks(void) {
  for (int i = 0; i < 200; ++i) {
    take();
    const u64 before = shared->counter;
    shared->watched = before;
    shared->counter = before + 1;
    give();
    u64 one = 1;
    __asm__ volatile("lock xaddq %0, %1" : "+r"(one), "+m"(shared->added) : : "cc", "memory");
  }
}

/* The same number each time: of flags (adc, carry), string instructions, divisions and the stack. */
static u64 sum(void) {
  static u64 values[512];
  u64 state = 88172645463325252UL, high = 0, low = 0;
  for (int i = 0; i < 512; ++i) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    values[i] = state;
  }
  for (int i = 0; i < 512; ++i) {
    __asm__ volatile("addq %2, %0; adcq %3, %1" : "+r"(low), "+r"(high) : "r"(values[i]), "r"(values[511 - i] / 3) : "cc");
    const u64 divided = low / (values[i] | 1);
    low ^= divided + (high % 1000003);
  }
  u64 *from = values, *to = values, count = 512, string = 0;
  __asm__ volatile("rep movsq" : "+S"(from), "+D"(to), "+c"(count) : : "memory");
  for (int i = 0; i < 512; ++i) string += values[i] >> (i % 61);
  return low ^ high ^ string;
}

/* Processes, pipes and memory of the kernel: run queues, page tables and their locks. */
static int work_in_the_kernel(void) {
  int ends[2];
  if (call(kPipe, (long)ends, 0, 0) != 0) return 0;
  const long child = call(kFork, 0, 0, 0);
  if (child == 0) {
    u64 value = 0;
    for (int i = 0; i < 20; ++i) value = value * 31 + (u64)i;
    call(kWrite, ends[1], (long)&value, sizeof value);
    call(kExit, (long)(value % 100), 0, 0);
  }
  u64 value = 0, expected = 0;
  int status = 0;
  for (int i = 0; i < 20; ++i) expected = expected * 31 + (u64)i;
  int good = call(kRead, ends[0], (long)&value, sizeof value) == sizeof value && value == expected;
  good = good && call6(kWait4, child, (long)&status, 0, 0, 0, 0) == child && (u64)(status >> 8) == expected % 100;
  call(3, ends[0], 0, 0);
  call(3, ends[1], 0, 0);
  return good;
}

static void worker(u64 expected) {
  while (call(kAccess, (long)"/tmp/stop", 0, 0) != 0) {
    work_with_locks();
    const int good = sum() == expected && work_in_the_kernel();
    if (!good) __asm__ volatile("lock incq %0" : "+m"(shared->wrong) : : "cc");
    __asm__ volatile("lock incq %0" : "+m"(shared->rounds) : : "cc");
    const long pause[2] = {0, 2000000};
    call(kNanosleep, (long)pause, 0, 0);
  }
  call(kExit, 0, 0, 0);
}

__attribute__((used)) static void run(long argc, char** argv) {
  const u64 workers = argc > 1 ? (u64)(argv[1][0] - '0') : 2;
  shared = (struct Shared*)call6(kMmap, 0, 4096, 3, 0x21 /* MAP_SHARED | MAP_ANONYMOUS */, -1, 0);
  const u64 expected = sum();
  say("page ", (u64)shared);
  print("\n");
  for (u64 i = 0; i < workers; ++i) {
    const long child = call(kFork, 0, 0, 0);
    if (child == 0) worker(expected);
    say("worker ", (u64)child);
    print("\n");
  }
  int status;
  for (u64 i = 0; i < workers; ++i) call6(kWait4, -1, (long)&status, 0, 0, 0, 0);
  const u64 done = shared->rounds * 200;
  if (shared->counter != done || shared->added != done || shared->lock != 0) ++shared->wrong;
  say("rounds ", shared->rounds);
  say(" wrong ", shared->wrong);
  say(" counter ", shared->counter);
  say(" added ", shared->added);
  print("\n");
  call(kExit, shared->wrong != 0, 0, 0);
}

__attribute__((naked)) void _start(void) { __asm__("mov (%rsp), %rdi; lea 8(%rsp), %rsi; and $-16, %rsp; call run; hlt"); }
