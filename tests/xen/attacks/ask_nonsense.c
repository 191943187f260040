// Tells the process that holds Xen's control what no partition would: unknown requests, watches at impossible places
// and without a number, a pause without an end, a message that is too short.
// stopped by: refused
#include "xen.h"

struct request {
  unsigned char ask, kind, access, has_table;
  int levels;
  unsigned long address, length, root, number;
};

static long ask(int broker, struct request request) {
  char answer[4096];
  call(44, broker, (long)&request, sizeof request, 0, 0, 0);
  return call(45, broker, (long)answer, sizeof answer, 0, 0, 0);
}

ATTACK {
  const int broker = lent("socket");
  if (broker < 0) leave(1);  // without the walls Xen itself can be asked
  ask(broker, (struct request){.ask = 1});  // pause
  for (unsigned char what = 3; what < 12; ++what)
    for (unsigned char kind = 0; kind < 12; ++kind)
      ask(broker, (struct request){what, kind, 255, 1, 99, ~0UL - kind, ~0UL, ~0UL, ~0UL});
  for (int more = 0; more < 2000; ++more) ask(broker, (struct request){.ask = 4});  // watch for CR3
  if (ask(broker, (struct request){.ask = 3}) <= 0) leave(1);                         // it has broken
  call(44, broker, (long)"x", 1, 0, 0, 0);
  leave(0);
}
