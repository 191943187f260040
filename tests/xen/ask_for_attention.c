// Runs in the guest: asks whoever watches the domain for attention, which a process may
// (HVMOP_guest_request_vm_event).
enum { kHvmOp = 34, kGuestRequest = 24, kToken = 0x5eed };

static int is_intel(void) {
  unsigned a = 0, b = 0, c = 0, d = 0;
  __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  return b == 0x756e6547;  // "Genu"
}

void _start(void) {
  long result = kHvmOp;
  register long operation __asm__("rdi") = kGuestRequest;
  register long argument __asm__("rsi") = 0;
  register long token __asm__("rdx") = kToken;
  if (is_intel())
    __asm__ volatile("vmcall" : "+a"(result), "+r"(operation), "+r"(argument), "+r"(token) : : "memory");
  else
    __asm__ volatile("vmmcall" : "+a"(result), "+r"(operation), "+r"(argument), "+r"(token) : : "memory");
  __asm__ volatile("syscall" : : "a"(60), "D"(0));
}
