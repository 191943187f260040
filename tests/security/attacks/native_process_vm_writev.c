// Writes the memory of its starter.
// stopped by: process_vm_writev
#include "attack.h"

ATTACK {
  leave(call(311, call(110, 0, 0, 0, 0, 0, 0), 0, 0, 0, 0, 0) == 0);
}
