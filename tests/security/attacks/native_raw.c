// Sends packets of a protocol of its own.
// stopped by: socket
#include "attack.h"

ATTACK {
  const long out = call(41, 2, 3, 253, 0, 0, 0);  // socket(AF_INET, SOCK_RAW, for experiments: RFC 3692)
  leave(call(44, out, (long)"x", 1, 0, (long)&discard, sizeof discard) > 0);
}
