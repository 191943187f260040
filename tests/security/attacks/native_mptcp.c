// Connects over many paths (MPTCP).
// stopped by: socket
// needs: MPTCP
#include "attack.h"

ATTACK {
  const long out = call(41, 2, 1, 262, 0, 0, 0);
  leave(went_out(call(42, out, (long)&discard, sizeof discard, 0, 0, 0)));
}
