// Reads and writes below IP.
// stopped by: socket
#include "attack.h"

ATTACK {
  leave(call(41, 17, 3, 0x0300, 0, 0, 0) >= 0);  // socket(AF_PACKET, SOCK_RAW, ETH_P_ALL)
}
