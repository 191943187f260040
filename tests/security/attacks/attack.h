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

/// An IPv4 address as the calls of sockets take it: the discard port (RFC 863) of this host.
struct address {
  unsigned short family;
  unsigned char port[2], host[4], rest[8];
};
static const struct address discard = {2, {0, 9}, {127, 0, 0, 1}, {0}};

/// What sendmsg takes, with an address.
struct message {
  const void* name;
  unsigned name_length;
  struct {
    const void* data;
    unsigned long length;
  } * parts;
  unsigned long part_count;
  void* control;
  unsigned long control_length;
  int flags;
};

/// Whether a packet has left: also where the other side has answered that nobody listens (ECONNREFUSED), or
/// has not answered yet (EINPROGRESS).
static inline int went_out(long result) {
  return result >= 0 || result == -111 || result == -115;
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
