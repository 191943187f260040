// Writes machine code into its own memory, and opens a file by it.
// stopped by: openat
#include "attack.h"

ATTACK {
  // mov $257, %eax; mov $-100, %rdi; lea path(%rip), %rsi; xor %edx, %edx; syscall; ret; "/etc/shadow"
  static const unsigned char code[] = {0xb8, 1, 1, 0, 0, 0x48, 0xc7, 0xc7, 0x9c, 0xff, 0xff, 0xff, 0x48, 0x8d, 0x35, 5, 0, 0, 0,
                                       0x31, 0xd2, 0x0f, 0x05, 0xc3, '/', 'e', 't', 'c', '/', 's', 'h', 'a', 'd', 'o', 'w', 0};
  unsigned char *memory = (unsigned char *)call(9, 0, 4096, 7, 0x22, -1, 0);
  for (unsigned i = 0; i < sizeof code; ++i) memory[i] = code[i];
  leave(((long (*)(void))memory)() >= 0);
}
