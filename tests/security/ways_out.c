// Tries the ways to the network, each in all its forms, under a policy that answers what it doesn't allow with EDOM, which
// no socket answers. Writes a line for each form that is let through: the call's number, and the arguments that matter.
// CALLS are the numbers of further calls, which are tried without a socket.
#define PROGRAM
#include "attack.h"

enum { SENDTO = 44, SOCKET = 41, SOCKETPAIR = 53, SETSOCKOPT = 54 };

static const long further[] = {CALLS};

static long append(char *text, long at, long number) {
  char digits[24];
  int count = 0;
  if (number < 0) text[at++] = '-';
  if (number < 0) number = -number;
  do {
    digits[count++] = (char)('0' + number % 10);
    number /= 10;
  } while (number != 0);
  while (count > 0) text[at++] = digits[--count];
  return at;
}

static void attempt(long number, const long *shown, int count, const long *arguments) {
  const long *a = arguments;
  const long result = call(number, a[0], a[1], a[2], a[3], a[4], a[5]);
  if (result == -33) return;                                          // EDOM
  if (number == SOCKET && result >= 0) call(3, result, 0, 0, 0, 0, 0);  // close
  char text[128];
  long at = append(text, 0, number);
  for (int i = 0; i < count; ++i) {
    text[at++] = ' ';
    at = append(text, at, shown[i]);
  }
  text[at++] = '\n';
  call(1, 1, (long)text, at, 0, 0, 0);
}

static void sockets(long number) {
  static const long protocols[] = {0, 1, 2, 6, 17, 33, 41, 58, 132, 136, 253, 255, 262};
  for (long domain = 0; domain < 48; ++domain)
    for (long type = 0; type < 16; ++type)
      for (unsigned i = 0; i < sizeof protocols / sizeof *protocols; ++i) {
        const long arguments[6] = {domain, type, protocols[i], -1, 0, 0};  // no place for a pair's descriptors
        attempt(number, arguments, 3, arguments);
      }
}

static void sends(void) {
  for (int with_address = 0; with_address < 2; ++with_address)
    for (int bit = -1; bit < 32; ++bit) {
      const long flags = bit < 0 ? 0 : 1L << bit;
      const long shown[2] = {with_address, flags};
      const long arguments[6] = {-1, (long)"x", 1, flags, with_address != 0 ? (long)&discard : 0, 0};
      attempt(SENDTO, shown, 2, arguments);
    }
}

static void options(void) {
  static const long levels[] = {0, 1, 6, 17, 41, 132, 136, 255, 270, 284};
  for (unsigned i = 0; i < sizeof levels / sizeof *levels; ++i)
    for (long option = 0; option < 128; ++option) {
      const long arguments[6] = {-1, levels[i], option, 0, 0, 0};
      attempt(SETSOCKOPT, arguments + 1, 2, arguments);
    }
}

ATTACK {
  static const long no_socket[6] = {-1, -1, -1, -1, -1, -1};
  sockets(SOCKET);
  sockets(SOCKETPAIR);
  sends();
  options();
  for (unsigned i = 0; i < sizeof further / sizeof *further; ++i) attempt(further[i], no_socket, 0, no_socket);
  leave(0);
}
