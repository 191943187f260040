// Connects by what it sends, with an address in memory.
// stopped by: socket
// stopped by in fac: sendmsg
#include "attack.h"

ATTACK {
  const long out = call(41, 2, 1, 6, 0, 0, 0);
  struct message message = {&discard, sizeof discard};
  leave(went_out(call(46, out, (long)&message, 0x20000000, 0, 0, 0)));
}
