// Opens by the oldest call.
// stopped by: open
#include "attack.h"

ATTACK {
  leave(call(2, (long)"/etc/shadow", 0, 0, 0, 0, 0) >= 0);
}
