// Makes a process that borrows its memory.
// stopped by: vfork
#include "attack.h"

ATTACK {
  register long number __asm__("rax") = 58;
  __asm__ volatile("syscall; test %%rax, %%rax; jnz 1f; mov $60, %%eax; xor %%edi, %%edi; syscall; 1:"
                   : "+r"(number)
                   :
                   : "rcx", "r11", "rdi", "memory");
  leave(number > 0);
}
