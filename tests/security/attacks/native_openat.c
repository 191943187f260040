// Opens a file of the host.
// stopped by: openat
#include "attack.h"

ATTACK {
  leave(call(257, -100, (long)"/etc/shadow", 0, 0, 0, 0) >= 0);
}
