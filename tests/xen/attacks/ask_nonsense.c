// Tells the process that holds Xen's control what no partition would: messages that are too short, unknown requests,
// watches at impossible places, a pause without an end.
// stopped by: refused
#include "xen.h"

struct request {
  unsigned char ask, kind, access, has_table;
  int levels;
  unsigned long address, length, root, number;
};

static void ask(int broker, struct request request) {
  char answer[4096];
  call(44, broker, (long)&request, sizeof request, 0, 0, 0);
  call(45, broker, (long)answer, sizeof answer, 0, 0, 0);
}

ATTACK {
  const int broker = lent("socket");
  if (broker < 0) leave(1);  // without the walls Xen itself can be asked
  ask(broker, (struct request){.ask = 1});  // pause
  for (unsigned char what = 3; what < 12; ++what)
    for (unsigned char kind = 0; kind < 12; ++kind)
      ask(broker, (struct request){what, kind, 255, 1, 99, ~0UL - kind, ~0UL, ~0UL, ~0UL});
  call(44, broker, (long)"x", 1, 0, 0, 0);
  leave(0);
}
