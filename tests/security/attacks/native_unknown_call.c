// Uses the number of a call that a newer kernel may have.
// stopped by: "1000"
#include "attack.h"

ATTACK {
  leave(call(1000, 0, 0, 0, 0, 0, 0) == -38);
}
