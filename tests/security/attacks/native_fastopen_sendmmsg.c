// Connects by one of many messages that it sends at once.
// stopped by: socket
// stopped by in fac: sendmmsg
#include "attack.h"

ATTACK {
  const long out = call(41, 2, 1, 6, 0, 0, 0);
  struct {
    struct message message;
    unsigned sent;
  } messages[1] = {{{&discard, sizeof discard}, 0}};
  leave(went_out(call(307, out, (long)messages, 1, 0x20000000, 0, 0)));
}
