// Waits for others at a port.
// stopped by: socket
// stopped by in fac: bind
#include "attack.h"

ATTACK {
  static const struct address any = {2};
  const long door = call(41, 2, 1, 6, 0, 0, 0);
  const long bound = call(49, door, (long)&any, sizeof any, 0, 0, 0);
  leave(bound == 0 && call(50, door, 1, 0, 0, 0, 0) == 0);
}
