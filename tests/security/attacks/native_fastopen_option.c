// Has a later write connect: connect() itself sends nothing then (TCP_FASTOPEN_CONNECT).
// stopped by: socket
// stopped by in fac: setsockopt
#include "attack.h"

ATTACK {
  const long out = call(41, 2, 1, 6, 0, 0, 0);
  static const int on = 1;
  const long set = call(54, out, 6, 30, (long)&on, sizeof on, 0);
  leave(set == 0 && went_out(call(42, out, (long)&discard, sizeof discard, 0, 0, 0)));
}
