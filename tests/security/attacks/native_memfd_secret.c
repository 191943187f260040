// Makes memory that not even the kernel sees.
// stopped by: memfd_secret
// needs: memfd_secret
#include "attack.h"

ATTACK {
  leave(call(447, 0, 0, 0, 0, 0, 0) >= 0);
}
