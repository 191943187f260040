// Lets the kernel swap to a file of its own: to a bad address, which is what the kernel complains of last.
// stopped by: swapon
#include "attack.h"

ATTACK {
  leave(call(167, 0, 0, 0, 0, 0, 0) == -14);
}
