// Calls the vsyscall page, whose calls the kernel emulates.
// stopped by: signal
// needs: vsyscall
#include "attack.h"

ATTACK {
  long (*time_of_day)(long *, long) = (long (*)(long *, long))0xffffffffff600000;
  long now[2] = {0, 0};
  time_of_day(now, 0);
  leave(now[0] != 0);
}
