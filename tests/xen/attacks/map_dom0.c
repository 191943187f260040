// Maps memory of the host's own domain.
// stopped by: refused
#include "xen.h"

ATTACK {
  const int device = privcmd();
  int got = 0;
  for (unsigned long frame = 0x1000; frame < 0x40000 && !got; frame += 0x100) got = maps(device, 0, frame) || maps(device, 0x7ff0, frame);
  leave(got);
}
