// Waits for others at a port that the kernel chooses: without bind.
// stopped by: socket
// stopped by in fac: listen
#include "attack.h"

ATTACK {
  const long door = call(41, 2, 1, 6, 0, 0, 0);
  leave(call(50, door, 1, 0, 0, 0, 0) == 0);
}
