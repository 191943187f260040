// Sends a datagram out, from native code.
// stopped by: socket
#include "attack.h"

ATTACK {
  const long out = call(41, 2, 2, 0, 0, 0, 0);  // socket(AF_INET, SOCK_DGRAM)
  leave(went_out(call(44, out, (long)"x", 1, 0, (long)&discard, sizeof discard)));
}
