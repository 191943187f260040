// Connects out, from native code.
// stopped by: socket
#include "attack.h"

ATTACK {
  leave(call(41, 2, 1, 0, 0, 0, 0) >= 0);
}
