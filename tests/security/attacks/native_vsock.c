// Speaks to the hypervisor over vsock, from native code.
// stopped by: socket
// needs: vsock
#include "attack.h"

ATTACK {
  leave(call(41, 40, 1, 0, 0, 0, 0) >= 0);
}
