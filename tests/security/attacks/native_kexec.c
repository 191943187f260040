// Loads another kernel: one of no segments.
// stopped by: kexec_load
// needs: kexec
#include "attack.h"

ATTACK {
  leave(call(246, 0, 0, 0, 0, 0, 0) == 0);
}
