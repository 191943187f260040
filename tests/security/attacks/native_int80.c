// Enters the kernel as a 32-bit program: numbers mean other calls there.
// stopped by: signal
// needs: 32-bit system calls
#include "attack.h"

ATTACK {
  long result = 20;  // getpid
  __asm__ volatile("int $0x80" : "+a"(result) : : "memory");
  leave(result > 0);
}
