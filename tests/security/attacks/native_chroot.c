// Takes another root, from native code.
// stopped by: chroot
#include "attack.h"

ATTACK {
  leave(call(161, (long)"/", 0, 0, 0, 0, 0) == 0);
}
