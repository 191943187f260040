// Sends out over UDP-Lite.
// stopped by: socket
// needs: UDP-Lite
#include "attack.h"

ATTACK {
  const long out = call(41, 2, 2, 136, 0, 0, 0);
  leave(went_out(call(44, out, (long)"x", 1, 0, (long)&discard, sizeof discard)));
}
