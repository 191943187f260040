// A process whose first thread exits while another lives on. No C library.
static long call(long number, long a, long b, long c) {
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
  return result;
}

enum { kNanosleep = 35, kClone = 56, kExit = 60 };
enum { kVm = 0x100, kFs = 0x200, kFiles = 0x400, kSighand = 0x800, kThread = 0x10000 };

static char stack[4096] __attribute__((aligned(16)));

void _start(void) {
  const long second[2] = {1, 0};
  if (call(kClone, kVm | kFs | kFiles | kSighand | kThread, (long)(stack + sizeof stack), 0) != 0) call(kExit, 0, 0, 0);
  for (;;) call(kNanosleep, (long)second, 0, 0);
}
