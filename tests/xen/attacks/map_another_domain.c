// Maps memory of another tenant's domain, the PV guest's.
// stopped by: refused
#include "xen.h"

ATTACK {
  const int device = privcmd();
  int got = 0;
  for (unsigned long frame = 0; frame < 0xc0000 && !got; frame += 0x400) got = maps(device, 1, frame);
  leave(got);
}
