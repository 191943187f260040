// Has the device restricted to another domain.
// stopped by: ioctl
#include "xen.h"

ATTACK {
  const unsigned short domain = 1;
  leave(call(16, privcmd(), RESTRICT, (long)&domain, 0, 0, 0) == 0);
}
