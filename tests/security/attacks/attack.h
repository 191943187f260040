// What native attacks need: system calls without a C library, and a way to say that one succeeded. Each runs
// when it is loaded, in a process that it has to itself from then on.
#pragma once

static inline long call(long number, long a, long b, long c, long d, long e, long f) {
  register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
  long result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}

static inline void leave(int broke_out) {
  if (broke_out) call(1, 1, (long)"BROKE OUT\n", 10, 0, 0, 0);
  call(231, 0, 0, 0, 0, 0, 0);  // exit_group
}

#ifdef PROGRAM  // in place of a partition's program: it goes on as if it had established itself
#define ATTACK                                                 \
  static void attack(void);                                    \
  __attribute__((force_align_arg_pointer)) void _start(void) { \
    call(257, -100, (long)"ESTABLISHED", 0, 0, 0, 0);          \
    attack();                                                  \
  }                                                            \
  static void attack(void)
#else
#define ATTACK __attribute__((constructor)) static void attack(void)
#endif
