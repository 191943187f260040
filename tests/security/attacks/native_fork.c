// Makes a process by the oldest call.
// stopped by: fork
#include "attack.h"

ATTACK {
  long child = call(57, 0, 0, 0, 0, 0, 0);
  if (child == 0) call(60, 0, 0, 0, 0, 0, 0);
  leave(child > 0);
}
