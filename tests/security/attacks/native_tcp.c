// Connects out, from native code.
// stopped by: socket
// stopped by in fac: connect
#include "attack.h"

ATTACK {
  const long out = call(41, 2, 1, 6, 0, 0, 0);  // socket(AF_INET, SOCK_STREAM, IPPROTO_TCP)
  leave(went_out(call(42, out, (long)&discard, sizeof discard, 0, 0, 0)));
}
