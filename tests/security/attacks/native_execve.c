// Executes a program.
// stopped by: execve
#include "attack.h"

ATTACK {
  char *arguments[] = {"echo", "BROKE OUT", 0}, *environment[] = {0};
  call(59, (long)"/bin/echo", (long)arguments, (long)environment, 0, 0, 0);
  leave(0);
}
