// Speaks to xenstored, in which the host's tools keep what they do.
// stopped by: connect
#include "xen.h"

ATTACK {
  struct {
    unsigned short family;
    char path[108];
  } store = {1, "/run/xenstored/socket"};
  const long socket = call(41, 1, 1, 0, 0, 0, 0);
  leave(call(42, socket, (long)&store, 2 + sizeof "/run/xenstored/socket", 0, 0, 0) == 0);
}
