// Opens a device that can do everything.
// stopped by: openat
#include "xen.h"

ATTACK {
  leave(call(257, -100, (long)"/dev/xen/privcmd", 2, 0, 0, 0) >= 0);
}
