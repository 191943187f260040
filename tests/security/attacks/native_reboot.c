// Ends the host: with a wrong magic number, which is what the kernel complains of last.
// stopped by: reboot
#include "attack.h"

ATTACK {
  leave(call(169, 0, 0, 0, 0, 0, 0) == -22);
}
