// Lets its starter trace it, the beginning of most tricks.
// stopped by: ptrace
#include "attack.h"

ATTACK {
  leave(call(101, 0, 0, 0, 0, 0, 0) == 0);
}
