// Writes the kernel's core pattern, from native code.
// stopped by: open
#include "attack.h"

ATTACK {
  leave(call(2, (long)"/proc/sys/kernel/core_pattern", 2, 0, 0, 0, 0) >= 0);
}
