// Opens files of all kinds in a guest and keeps them; `opener many N`: N processes; `opener leave`.
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/bpf.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>

static long call(long n, long a, long b, long c, long d, long e) {
  register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = 0;
  long result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}
#define CALL5(n, a, b, c, d, e, ...) call(SYS_##n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e))
#define CALL(...) CALL5(__VA_ARGS__, 0, 0, 0, 0, 0)

static int file(const char* path, int flags) {
  return (int)CALL(open, path, flags, 0600);
}

static int bound(int family, int type, const void* address, int size) {
  const int made = (int)CALL(socket, family, type, 0);
  CALL(bind, made, address, size);
  return made;
}

static void sockets(void) {
  struct sockaddr_in four = {AF_INET, __builtin_bswap16(8080), {__builtin_bswap32(INADDR_LOOPBACK)}, {0}};
  struct sockaddr_in6 six = {
      .sin6_family = AF_INET6, .sin6_port = __builtin_bswap16(8081), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
  CALL(listen, bound(AF_INET, SOCK_STREAM, &four, sizeof four), 5);
  CALL(connect, CALL(socket, AF_INET, SOCK_STREAM, 0), &four, sizeof four);
  CALL(listen, bound(AF_INET6, SOCK_STREAM, &six, sizeof six), 5);
  bound(AF_INET, SOCK_DGRAM, &four, sizeof four);
  bound(AF_INET6, SOCK_DGRAM, &six, sizeof six);
  struct sockaddr_un named = {AF_UNIX, "/tmp/so cket"}, hidden = {AF_UNIX, "\0abs\0tract"};
  CALL(listen, bound(AF_UNIX, SOCK_STREAM, &named, sizeof named), 1);
  bound(AF_UNIX, SOCK_DGRAM, &hidden, offsetof(struct sockaddr_un, sun_path) + 10);
  int pair[2];
  CALL(socketpair, AF_UNIX, SOCK_SEQPACKET, 0, pair);
  CALL(socket, AF_NETLINK, SOCK_RAW, 0);
  CALL(socket, AF_PACKET, SOCK_RAW, 0);
  CALL(socket, AF_INET, SOCK_RAW, 1);
  CALL(socket, 40 /* vsock */, SOCK_STREAM, 0);
  file("/tmp/so cket", O_PATH);
}

static void nameless(void) {
  int pair[2];
  long mask = 0;
  CALL(pipe, pair);
  CALL(eventfd2, 0, 0);
  CALL(epoll_create1, 0);
  CALL(timerfd_create, CLOCK_MONOTONIC, 0);
  CALL(signalfd4, -1, &mask, 8, 0);
  CALL(inotify_init1, 0);
  CALL(pidfd_open, 1, 0);
  CALL(userfaultfd, 0);
  CALL(fanotify_init, 0, O_RDONLY);
  union bpf_attr map = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};
  CALL(bpf, BPF_MAP_CREATE, &map, sizeof map);
  CALL(memfd_create, "evil\n name", 0);
  CALL(mq_open, "queue", O_CREAT | O_RDWR, 0600, 0);
  CALL(fsopen, "tmpfs", 0);
  CALL(open_tree, AT_FDCWD, "/tmp", 1 /* OPEN_TREE_CLONE */);
  static const char* const namespaces[] = {"cgroup",           "ipc",  "mnt",  "net", "pid",
                                           "pid_for_children", "time", "user", "uts"};
  for (unsigned i = 0; i < sizeof namespaces / sizeof *namespaces; ++i) {
    char path[40] = "/proc/self/ns/";
    for (unsigned j = 0; (path[14 + j] = namespaces[i][j]); ++j) {
    }
    file(path, O_RDONLY);
  }
}

static void deep(void) {
  char name[201];
  for (int i = 0; i < 200; ++i) name[i] = 'x';
  name[200] = 0;
  CALL(chdir, "/tmp");
  for (int i = 0; i < 12; ++i) {
    CALL(mkdir, name, 0700);
    CALL(chdir, name);
  }
  file("end", O_CREAT | O_RDWR);
  CALL(chdir, "/");
}

static void mounts(void) {
  CALL(mkdir, "/tmp/m", 0700);
  CALL(mount, "none", "/tmp/m", "tmpfs", 0, 0);
  CALL(mkdir, "/tmp/m/in", 0700);
  CALL(mkdir, "/tmp/m/in/dir", 0700);
  file("/tmp/m/in/dir/file", O_CREAT | O_RDWR);
  CALL(mkdir, "/tmp/b", 0700);
  CALL(mount, "/tmp/m/in", "/tmp/b", 0, MS_BIND, 0);
  file("/tmp/b/dir/file", O_RDWR);
  file("/tmp/b/dir", O_DIRECTORY);
  CALL(rename, "/tmp/m/in/dir", "/tmp/m/dir");  // out of what is mounted at /tmp/b
  file("/tmp/one", O_CREAT | O_RDWR);
  CALL(mount, "/tmp/m/dir/file", "/tmp/one", 0, MS_BIND, 0);
  file("/tmp/one", O_RDWR);
  file("/tmp/ns", O_CREAT | O_RDWR);
  CALL(mount, "/proc/self/ns/uts", "/tmp/ns", 0, MS_BIND, 0);
  file("/tmp/ns", O_RDONLY);
  CALL(mkdir, "/tmp/lazy", 0700);
  CALL(mount, "none", "/tmp/lazy", "tmpfs", 0, 0);
  file("/tmp/lazy/left", O_CREAT | O_RDWR);
  file("/tmp/lazy", O_DIRECTORY);
  CALL(umount2, "/tmp/lazy", MNT_DETACH);
  CALL(unshare, 0x20000 /* CLONE_NEWNS */);
  CALL(mkdir, "/tmp/own", 0700);
  CALL(mount, "none", "/tmp/own", "tmpfs", 0, 0);
  file("/tmp/own/file", O_CREAT | O_RDWR);
}

static void files(void) {
  const int gone = file("/tmp/gone", O_CREAT | O_RDWR);
  CALL(unlink, "/tmp/gone");
  CALL(dup2, gone, 900);
  CALL(mkdir, "/tmp/gone.d", 0700);
  file("/tmp/gone.d", O_DIRECTORY);
  CALL(rmdir, "/tmp/gone.d");
  file("/tmp", O_TMPFILE | O_RDWR);
  file("/tmp/not gone (deleted)", O_CREAT | O_RDWR);
  file("/tmp/new\nline \x1b[31mred\xc3\xa4 \xff\\ \xe2\x80\xae", O_CREAT | O_RDWR);
  file("/", O_RDONLY);
  file("/tmp", O_PATH);
  file("/proc/self/status", O_RDONLY);
  file("/sys/kernel/uevent_seqnum", O_RDONLY);
  file("/dev/null", O_RDWR);
  CALL(mknod, "/tmp/fifo", 010600, 0);
  file("/tmp/fifo", O_RDWR);
}

static void many(const char* number) {
  int wanted = 0;
  for (; *number; ++number) wanted = 10 * wanted + *number - '0';
  while (wanted-- > 0)
    if (CALL(fork) == 0)
      for (;;) CALL(pause);
}

static void wait_forever(void) {
  for (;;) CALL(pause);
}

// Leaves a thread alone: the process goes on, its first thread has ended.
static void leave(void) {
  static void (*stack[512])(void) __attribute__((aligned(16)));
  stack[510] = wait_forever;
  const long flags = 0x100 | 0x200 | 0x400 | 0x800 | 0x10000;  // CLONE_VM, _FS, _FILES, _SIGHAND, _THREAD
  long result;
  __asm__ volatile("syscall; test %%rax, %%rax; jnz 1f; ret; 1:"
                   : "=a"(result)
                   : "a"(SYS_clone), "D"(flags), "S"(stack + 510)
                   : "rcx", "r11", "memory");
  CALL(exit, 0);
}

__attribute__((used)) static void run(long* stack) {
  char** arguments = (char**)(stack + 1);
  if (stack[0] == 2) {
    CALL(write, 1, "ready\n", 6);
    leave();
  } else if (stack[0] == 3) {
    many(arguments[2]);
  } else {
    sockets();
    nameless();
    deep();
    files();
    mounts();
  }
  CALL(write, 1, "ready\n", 6);
  wait_forever();
}
__asm__(".globl _start\n_start: mov %rsp, %rdi\n and $-16, %rsp\n call run\n");
