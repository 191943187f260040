// Asks for its CPU by the vsyscall page, whose calls the kernel emulates: one that the policy does not allow.
// stopped by: signal
// needs: vsyscall
#include "attack.h"

ATTACK {
  long (*get_cpu)(unsigned *, unsigned *, long) = (long (*)(unsigned *, unsigned *, long))0xffffffffff600800;
  unsigned cpu = ~0U;
  get_cpu(&cpu, 0, 0);
  leave(cpu != ~0U);
}
