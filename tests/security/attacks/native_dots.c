// Leaves its directory by "..", from native code.
// stopped by: openat
#include "attack.h"

ATTACK { leave(call(257, -100, (long)"/opt/furnace/app/../../../etc/shadow", 0, 0, 0, 0) >= 0 || call(257, -100, (long)"/tmp/../etc/shadow", 0, 0, 0, 0) >= 0); }
