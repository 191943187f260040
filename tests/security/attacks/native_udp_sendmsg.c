// Sends a datagram whose address lies in memory, where no filter of system calls sees it.
// stopped by: socket
#include "attack.h"

ATTACK {
  const long out = call(41, 2, 2, 0, 0, 0, 0);
  struct message message = {&discard, sizeof discard};
  leave(went_out(call(46, out, (long)&message, 0, 0, 0, 0)));
}
