// Makes a ring.
// stopped by: io_uring_setup
// needs: io_uring
#include "attack.h"

ATTACK {
  static char parameters[120];
  leave(call(425, 4, (long)parameters, 0, 0, 0, 0) >= 0);
}
