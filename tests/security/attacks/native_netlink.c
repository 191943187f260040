// Asks for the host's network, from native code.
// stopped by: socket
#include "attack.h"

ATTACK {
  leave(call(41, 16, 3, 0, 0, 0, 0) >= 0);
}
