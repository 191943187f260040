// Writes the memory of the first process: nothing of it, which is enough to be seen.
// stopped by: process_vm_writev
#include "attack.h"

ATTACK {
  leave(call(311, 1, 0, 0, 0, 0, 0) == 0);
}
