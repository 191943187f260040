// Makes a process by clone3, whose flags no filter can read.
// stopped by: refused
#include "attack.h"

ATTACK {
  long arguments[11] = {0, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0};
  long child = call(435, (long)arguments, sizeof arguments, 0, 0, 0, 0);
  if (child == 0) call(60, 0, 0, 0, 0, 0, 0);
  leave(child > 0);
}
