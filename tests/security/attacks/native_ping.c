// Sends through a socket for pings (ICMP).
// stopped by: socket
// needs: "pings of users (net.ipv4.ping_group_range)"
#include "attack.h"

ATTACK {
  static const unsigned char echo[8] = {8};
  const long out = call(41, 2, 2, 1, 0, 0, 0);
  leave(call(44, out, (long)echo, sizeof echo, 0, (long)&discard, sizeof discard) > 0);
}
