// Connects out over IPv6.
// stopped by: socket
// needs: IPv6
#include "attack.h"

ATTACK {
  static const unsigned char loopback[28] = {10, 0, 0, 9, [23] = 1};  // sockaddr_in6 of [::1]:9
  const long out = call(41, 10, 1, 6, 0, 0, 0);
  leave(went_out(call(42, out, (long)loopback, sizeof loopback, 0, 0, 0)));
}
