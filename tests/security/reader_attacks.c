// In the place of furnace-reader, with all that it holds: one attack, whose name is NAME. What works is written to standard
// error, which its launcher passes on.
#define PROGRAM
#include "attacks/attack.h"

enum {
  READ = 0, WRITE = 1, LSEEK = 8, MMAP = 9, SENDTO = 44, RECVFROM = 45, SOCKET = 41, CLONE = 56, EXECVE = 59, GETPPID = 110, PTRACE = 101,
  EXIT_GROUP = 231, OPENAT = 257, PWRITE = 18
};
enum { FIRST = 3, LAST = 64 };
enum { RAM = 64 << 20 };

static void say(const char *text) {
  long length = 0;
  while (text[length] != 0) ++length;
  call(WRITE, 2, (long)text, length, 0, 0, 0);
}

static void broke_out_if(int is_out) {
  if (is_out) say("BROKE OUT\n");
}

static long open_at(const char *path, long flags) {
  return call(OPENAT, -100, (long)path, flags, 0, 0, 0);
}

static inline void reads_a_file_of_the_host(void) {
  char byte = 0;
  const long file = open_at("/etc/hostname", 0);
  broke_out_if(file >= 0 && call(READ, file, (long)&byte, 1, 0, 0, 0) == 1);
}

static inline void makes_a_file(void) {
  broke_out_if(call(OPENAT, -100, (long)"/tmp/furnace-reader-was-here", 0101, 0600, 0, 0) >= 0);
}

static inline void opens_a_tcp_socket(void) {
  broke_out_if(call(SOCKET, 2, 1, 0, 0, 0, 0) >= 0);
}

static inline void opens_a_unix_socket(void) {
  broke_out_if(call(SOCKET, 1, 1, 0, 0, 0, 0) >= 0);
}

static inline void executes_a_program(void) {
  static const char *const arguments[] = {"/bin/sh", "-c", "echo BROKE OUT >&2", 0};
  call(EXECVE, (long)arguments[0], (long)arguments, 0, 0, 0, 0);
}

static inline void forks(void) {
  broke_out_if(call(CLONE, 17, 0, 0, 0, 0, 0) > 0);
}

static inline void traces_its_parent(void) {
  broke_out_if(call(PTRACE, 0x4206, call(GETPPID, 0, 0, 0, 0, 0, 0), 0, 0, 0, 0) == 0);
}

static inline void takes_memory(void) {
  broke_out_if(call(MMAP, 0, 4L << 30, 3, 0x22, -1, 0) > 0);
}

static inline void takes_shared_memory(void) {
  broke_out_if(call(MMAP, 0, 4L << 30, 3, 0x21, -1, 0) > 0);
}

/// The guest's RAM is open to read: by the name that /proc has for it, it is opened again.
static inline void writes_to_the_guest(void) {
  for (long file = FIRST; file < LAST; ++file) {
    if (call(LSEEK, file, 0, 2, 0, 0, 0) != RAM) continue;
    broke_out_if(call(MMAP, 0, 4096, 3, 1, file, 0) > 0);
    char path[] = "/proc/self/fd/xx";
    path[14] = (char)('0' + file / 10);
    path[15] = (char)('0' + file % 10);
    if (file < 10) {
      path[14] = (char)('0' + file);
      path[15] = 0;
    }
    const long again = open_at(path, 2);
    if (again < 0) continue;
    broke_out_if(call(MMAP, 0, 4096, 3, 1, again, 0) > 0);
  }
}

/// Sends each request that a broker knows, and writes the numbers of those that did not fail.
static inline void asks_for_everything(void) {
  struct {
    unsigned char ask, kind, access, has_table;
    int levels;
    unsigned long address, length, root, number;
  } request = {0, 0, 0, 0, 0, 0x1000, 8, 0, 0};
  static unsigned char answer[1 << 17];
  enum { ASKS = 24, RUN = 17, DONT_WAIT = 0x40, NO_SIGNAL = 0x4000, TRIES = 1000000 };
  for (long connection = FIRST; connection < LAST; ++connection) {
    request.ask = 3;  // State, which every broker answers
    if (call(SENDTO, connection, (long)&request, sizeof request, NO_SIGNAL, 0, 0) != sizeof request) continue;
    long got = 0;
    for (long tries = 0; got <= 0 && tries < TRIES; ++tries)
      got = call(RECVFROM, connection, (long)answer, sizeof answer, DONT_WAIT, 0, 0);
    if (got <= 0) continue;
    for (int ask = 0; ask < ASKS; ++ask) {
      if (ask == RUN) continue;  // has no answer
      request.ask = (unsigned char)ask;
      call(SENDTO, connection, (long)&request, sizeof request, NO_SIGNAL, 0, 0);
      if (call(RECVFROM, connection, (long)answer, sizeof answer, 0, 0, 0) <= 0) break;
      char line[] = "ASKED xx\n";
      line[6] = (char)('0' + ask / 10);
      line[7] = (char)('0' + ask % 10);
      if (answer[0] == 0) say(line);
    }
    static const char text[] = "{\"execute\": \"quit\"}\n";
    call(SENDTO, connection, (long)text, sizeof text - 1, NO_SIGNAL, 0, 0);
    return;
  }
}

/// The pipe to the command: what can be written to and has no place.
static long report(void) {
  char nothing = 0;
  for (long file = FIRST; file < LAST; ++file)
    if (call(LSEEK, file, 0, 1, 0, 0, 0) == -29 && call(WRITE, file, (long)&nothing, 0, 0, 0, 0) == 0 &&
        call(SENDTO, file, (long)&nothing, 0, 0, 0, 0) == -88)
      return file;
  return -1;
}

struct head {
  unsigned size;
  unsigned char kind, reserved[3];
};

static void tell(const void *bytes, long size) {
  call(WRITE, report(), (long)bytes, size, 0, 0, 0);
}

/// Whole records of a kind, again and again.
static void repeat(unsigned char kind, unsigned numbers, unsigned text) {
  static unsigned char records[1 << 17];
  const long pipe = report();
  long size = 0;
  const unsigned payload = numbers * 8 + (text != 0 ? 4 + text : 0);
  while (size + (long)sizeof(struct head) + payload <= (long)sizeof records && size < (1 << 16)) {
    struct head *const head = (struct head *)(records + size);
    head->size = payload;
    head->kind = kind;
    size += (long)sizeof *head;
    if (text != 0) *(unsigned *)(records + size + numbers * 8) = text;
    size += payload;
  }
  while (call(WRITE, pipe, (long)records, size, 0, 0, 0) > 0)
    ;
}

static inline void reports_noise(void) {
  static const char noise[] = "\x7f\x45\x4c\x46 noise that is no record, and more of it";
  tell(noise, sizeof noise);
}

static inline void reports_a_huge_record(void) {
  const struct head head = {0xffffffff, 1, {0}};
  tell(&head, sizeof head);
}

static inline void reports_what_nobody_asked_for(void) {
  const struct head head = {4, 8, {0}};
  tell(&head, sizeof head);
  tell("\0\0\0", 4);
}

static inline void reports_a_text_longer_than_its_record(void) {
  static unsigned char record[sizeof(struct head) + 6 * 8 + 12];
  *(struct head *)record = (struct head){6 * 8 + 12, 1, {0}};
  *(unsigned *)(record + sizeof(struct head) + 6 * 8) = 60;
  tell(record, sizeof record);
}

static inline void reports_more_after_its_end(void) {
  const struct head done = {0, 12, {0}};
  tell(&done, sizeof done);
  tell(&done, sizeof done);
}

static inline void reports_half_a_record(void) {
  tell("\x0c\0\0", 3);
}

static inline void reports_nothing(void) {
}

static inline void reports_processes_without_end(void) {
  static unsigned char record[sizeof(struct head) + 6 * 8 + 12];
  *(struct head *)record = (struct head){6 * 8 + 12, 1, {0}};
  const long pipe = report();
  while (call(WRITE, pipe, (long)record, sizeof record, 0, 0, 0) > 0)
    ;
}

static inline void reports_a_profile_without_end(void) {
  repeat(9, 0, 60000);
}

static inline void logs_without_end(void) {
  for (;;) say("a line that fills the log of the host, again and again and again and again and again and again\n");
}

/// To the file of the snapshot: the one that can be written to and has a place and a size.
static inline void writes_without_end(void) {
  static const char piece[1 << 20] = {1};
  enum { MEGABYTE = 1 << 20 };
  for (long file = FIRST; file < LAST; ++file) {
    if (call(LSEEK, file, 0, 2, 0, 0, 0) != 0) continue;
    long count = 0;
    while (call(PWRITE, file, (long)piece, MEGABYTE, count * MEGABYTE, 0, 0) == MEGABYTE) ++count;
    if (count == 0) continue;
    char line[] = "WROTE xxxx\n";
    for (int i = 0; i < 4; ++i, count /= 10) line[9 - i] = (char)('0' + count % 10);
    say(line);
    return;
  }
}

static inline void never_ends(void) {
  say("NEVER ENDS\n");
  for (;;) call(LSEEK, -1, 0, 0, 0, 0, 0);
}

ATTACK {
  NAME();
  call(EXIT_GROUP, 0, 0, 0, 0, 0, 0);
}
