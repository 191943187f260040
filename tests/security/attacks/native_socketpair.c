// Makes a pair of sockets that sends to other addresses as well.
// stopped by: socketpair
#include "attack.h"

ATTACK {
  static const char name[] = {1, 0, 0, 'f', 'u', 'r', 'n', 'a', 'c', 'e', '-', 'p'};
  int ends[2];
  const long made = call(53, 1, 2, 0, (long)ends, 0, 0);  // socketpair(AF_UNIX, SOCK_DGRAM)
  const long socket = call(41, 1, 2, 0, 0, 0, 0);
  call(49, socket, (long)name, sizeof name, 0, 0, 0);
  leave(made == 0 && call(44, ends[0], (long)"x", 1, 0, (long)name, sizeof name) == 1);
}
