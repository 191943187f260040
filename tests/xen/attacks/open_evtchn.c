// Opens the device of event channels.
// stopped by: openat
#include "xen.h"

ATTACK {
  leave(call(257, -100, (long)"/dev/xen/evtchn", 2, 0, 0, 0) >= 0);
}
