// Runs in the guest and does a known number of known things; prints what it did. No C library: nothing else happens.
typedef unsigned long u64;

static long call(long number, long a, long b, long c) {
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
  return result;
}

static long call6(long number, long a, long b, long c, long d, long e, long f) {
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}

enum { kWrite = 1, kOpen = 2, kMmap = 9, kPwrite = 18, kAccess = 21, kNanosleep = 35, kGetpid = 39, kFork = 57, kExit = 60, kWait4 = 61, kSetuid = 105, kGetppid = 110 };

static void print(const char* text) {
  long size = 0;
  while (text[size] != 0) ++size;
  call(kWrite, 1, (long)text, size);
}

static void print_number(u64 value) {
  char text[21];
  int at = 20;
  text[at] = 0;
  do text[--at] = (char)('0' + value % 10);
  while ((value /= 10) != 0);
  print(text + at);
}

static void say(const char* what, u64 value) {
  print(what);
  print(" ");
  print_number(value);
  print("\n");
}

static u64 number(const char* text) {
  u64 value = 0;
  while (*text >= '0' && *text <= '9') value = 10 * value + (u64)(*text++ - '0');
  return value;
}

static void wait_to_go_on(void) {
  const long pause[2] = {0, 10000000};
  while (call(kAccess, (long)"/tmp/go", 0, 0) != 0) call(kNanosleep, (long)pause, 0, 0);
}

static volatile u64 page[512] __attribute__((aligned(4096)));

__attribute__((noinline)) static void marked(u64 value) {
  __asm__ volatile("" : : "r"(value) : "memory");
}

static void writes(u64 count) {
  page[0] = 1;  // so that the page is there
  say("page", (u64)page);
  wait_to_go_on();
  for (u64 i = 0; i < count; ++i) page[i % 512] = i + 1000;
  say("wrote", count);
}

/* The kernel writes to the page cache, which is mapped here as well. */
static void file_writes(u64 count) {
  const long file = call(kOpen, (long)"/tmp/shared", 0102, 0600); /* O_RDWR | O_CREAT */
  call6(kPwrite, file, (long)page, sizeof page, 0, 0, 0);
  const volatile u64* const mapped = (const volatile u64*)call6(kMmap, 0, sizeof page, 1, 1, file, 0); /* PROT_READ, MAP_SHARED */
  page[0] = mapped[0];
  say("page", (u64)mapped);
  wait_to_go_on();
  for (u64 i = 1; i <= count; ++i) call6(kPwrite, file, (long)&i, sizeof i, 16, 0, 0);
  say("wrote", mapped[2]);
}

static void calls(u64 count) {
  say("function", (u64)marked);
  wait_to_go_on();
  for (u64 i = 0; i < count; ++i) marked(i);
  say("called", count);
}

static void forks(u64 count) {
  for (u64 i = 0; i < count; ++i) {
    const long child = call(kFork, 0, 0, 0);
    if (child == 0) call(kExit, (long)(i % 100), 0, 0);
    call(kWait4, child, 0, 0);
  }
  say("forked", count);
}

static void checksum(u64 rounds) {
  u64 sum = 14695981039346656037UL;
  for (u64 i = 0; i < rounds * 100000; ++i) {
    page[sum % 512] ^= sum;
    sum = (sum ^ page[i % 512]) * 1099511628211UL;
  }
  say("checksum", sum);
}

void run(long* stack) {
  const char** arguments = (const char**)(stack + 1);
  const char what = stack[0] > 1 ? arguments[1][0] : 0;
  const u64 count = stack[0] > 2 ? number(arguments[2]) : 1;
  say("pid", (u64)call(kGetpid, 0, 0, 0));
  if (stack[0] > 3) {
    say("waits", 1);
    wait_to_go_on();
  }
  if (what == 'g') {
    for (u64 i = 0; i < count; ++i) call(kGetppid, 0, 0, 0);
    say("getppid", count);
  }
  if (what == 'w') writes(count);
  if (what == 'm') file_writes(count);
  if (what == 'c') calls(count);
  if (what == 'f') forks(count);
  if (what == 's') checksum(count);
  if (what == 'u') say("setuid", (u64)call(kSetuid, (long)count, 0, 0));
  call(kExit, 7, 0, 0);
}

__asm__(".globl _start\n_start:\n  mov %rsp, %rdi\n  and $-16, %rsp\n  call run\n");
