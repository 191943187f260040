// Makes a thread that is in a user namespace of its own.
// stopped by: clone
#include "attack.h"

ATTACK {
  leave(call(56, 0x10000000 | 17, 0, 0, 0, 0, 0) >= 0);
}
