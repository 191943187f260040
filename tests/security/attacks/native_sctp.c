// Connects over SCTP, which no rule for TCP ports speaks of.
// stopped by: socket
// needs: SCTP
#include "attack.h"

ATTACK {
  leave(call(41, 2, 1, 132, 0, 0, 0) >= 0);
}
