// Connects by what it sends (TCP fast open): connect(), whose address is tested, is not called.
// stopped by: socket
// stopped by in fac: sendto
#include "attack.h"

ATTACK {
  const long out = call(41, 2, 1, 6, 0, 0, 0);
  const long fast_open = 0x20000000;
  leave(went_out(call(44, out, (long)"x", 1, fast_open, (long)&discard, sizeof discard)));
}
