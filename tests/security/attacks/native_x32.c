// Enters the kernel by x32 numbers.
// stopped by: "the x32 ABI"
// needs: x32
#include "attack.h"

ATTACK {
  leave(call(0x40000000 + 39, 0, 0, 0, 0, 0, 0) > 0);
}
