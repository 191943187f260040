// Opens for writing by creat.
// stopped by: creat
#include "attack.h"

ATTACK {
  leave(call(85, (long)"/tmp/furnace-attack", 0600, 0, 0, 0, 0) >= 0 && call(87, (long)"/tmp/furnace-attack", 0, 0, 0, 0, 0) == 0);
}
