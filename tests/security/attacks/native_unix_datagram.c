// Sends to a UNIX socket that it has no connection to.
// stopped by: socket
#include "attack.h"

ATTACK {
  static const char name[] = {1, 0, 0, 'f', 'u', 'r', 'n', 'a', 'c', 'e', '-', 'd'};  // an abstract one
  const long socket = call(41, 1, 2, 0, 0, 0, 0);
  call(49, socket, (long)name, sizeof name, 0, 0, 0);
  leave(call(44, socket, (long)"x", 1, 0, (long)name, sizeof name) == 1);
}
