// Makes a hypercall of its own: with those, a domain's memory, vCPUs and life are its.
// stopped by: ioctl
#include "xen.h"

ATTACK {
  struct {
    unsigned long number, arguments[5];
  } version = {17, {0}};  // xen_version
  leave(call(16, privcmd(), HYPERCALL, (long)&version, 0, 0, 0) > 0);
}
