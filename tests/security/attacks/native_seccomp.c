// Replaces its filter.
// stopped by: seccomp
#include "attack.h"

ATTACK {
  unsigned action = 0x7fff0000;
  leave(call(317, 2, 0, (long)&action, 0, 0, 0) == 0);
}
