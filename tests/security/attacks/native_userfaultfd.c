// Holds the kernel in the middle of a copy.
// stopped by: userfaultfd
#include "attack.h"

ATTACK {
  leave(call(323, 1, 0, 0, 0, 0, 0) >= 0);
}
