// Executes a program by a descriptor.
// stopped by: execveat
#include "attack.h"

ATTACK {
  char *arguments[] = {"echo", "BROKE OUT", 0}, *environment[] = {0};
  call(322, -100, (long)"/bin/echo", (long)arguments, (long)environment, 0, 0);
  leave(0);
}
