#include "guest/profile/vmlinux.h"

#include "fuzz.h"

FUZZ(vmlinux) {
  (void)furnace::guest::parse_vmlinux(input);
}
