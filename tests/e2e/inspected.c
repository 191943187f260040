/* What a program under inspection may try. Usage: inspected WHAT [ARGUMENTS]; prints what it got. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void say(const char *what, long result) {
  char line[200];
  int size = snprintf(line, sizeof line, "%s %s\n", what, result >= 0 ? "ok" : strerrorname_np(errno));
  write(1, line, size);
}

/* The file's first bytes, by each call that opens. */
static void open_all(const char *path) {
  struct open_how how = {.flags = O_RDONLY};
  say("open", syscall(SYS_open, path, O_RDONLY, 0));
  say("openat", syscall(SYS_openat, AT_FDCWD, path, O_RDONLY, 0));
  say("openat2", syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how));
}

static void look_all(const char *path) {
  struct stat status;
  struct statx more;
  char text[300];
  say("stat", syscall(SYS_stat, path, &status));
  say("lstat", syscall(SYS_lstat, path, &status));
  say("newfstatat", syscall(SYS_newfstatat, AT_FDCWD, path, &status, 0));
  say("statx", syscall(SYS_statx, AT_FDCWD, path, 0, STATX_ALL, &more));
  printf("size %lld %lld\n", (long long)status.st_size, (long long)more.stx_size);
  fflush(stdout);
  say("access", syscall(SYS_access, path, R_OK));
  say("faccessat", syscall(SYS_faccessat, AT_FDCWD, path, R_OK));
  say("faccessat2", syscall(SYS_faccessat2, AT_FDCWD, path, R_OK, 0));
  say("readlink", syscall(SYS_readlink, path, text, sizeof text));
}

static char shared_path[100];
static const char *choices[2];
static atomic_int over;

static void *exchange(void *unused) {
  for (int i = 0; !atomic_load(&over); ++i) strcpy(shared_path, choices[i & 1]);
  return unused;
}

static pthread_t start_exchange(const char *good, const char *bad) {
  choices[0] = good;
  choices[1] = bad;
  strcpy(shared_path, good);
  pthread_t thread;
  pthread_create(&thread, 0, exchange, 0);
  return thread;
}

/* Opens a path that another thread exchanges all the time; counts what was read of which file. */
static void race(const char *good, const char *bad, int seconds) {
  const pthread_t thread = start_exchange(good, bad);
  long opened = 0, refused = 0, wrong = 0;
  time_t end = time(0) + seconds;
  while (time(0) < end) {
    int file = openat(AT_FDCWD, shared_path, O_RDONLY);
    char first = 0;
    if (file < 0) {
      ++refused;
      continue;
    }
    ++opened;
    if (read(file, &first, 1) == 1 && first != 'g') ++wrong;
    close(file);
  }
  atomic_store(&over, 1);
  pthread_join(thread, 0);
  printf("opened %ld refused %ld wrong %ld\n", opened, refused, wrong);
}

/* The same with execve, in children that share the memory. */
static void race_exec(const char *good, const char *bad, int seconds) {
  start_exchange(good, bad);
  time_t end = time(0) + seconds;
  while (time(0) < end) {
    pid_t child = vfork();
    if (child == 0) {
      char *arguments[] = {"x", 0};
      execve(shared_path, arguments, 0);
      _exit(1);
    }
    waitpid(child, 0, 0);
  }
  printf("done\n");
}

static void *call_in_thread(void *unused) {
  while (!atomic_load(&over)) usleep(1000);
  syscall(SYS_getppid);
  return unused;
}

int main(int argc, char **argv) {
  const char *what = argv[1];
  if (!strcmp(what, "open")) open_all(argv[2]);
  if (!strcmp(what, "look")) look_all(argv[2]);
  if (!strcmp(what, "in")) {
    say("chdir", chdir(argv[2]));
    open_all(argv[3]);
  }
  if (!strcmp(what, "below")) {
    int directory = open(argv[2], O_RDONLY | O_DIRECTORY);
    say("openat", openat(directory, argv[3], O_RDONLY));
  }
  if (!strcmp(what, "create")) {
    int file = open(argv[2], O_CREAT | O_EXCL | O_WRONLY, 0666);
    say("create", file);
    say("write", write(file, "x", 1));
    say("again", open(argv[2], O_CREAT | O_EXCL | O_WRONLY, 0666));
    say("creat", syscall(SYS_creat, argv[2], 0600));
  }
  if (!strcmp(what, "link")) say("open", open(argv[2], O_RDONLY | O_NOFOLLOW));
  if (!strcmp(what, "race")) race(argv[2], argv[3], atoi(argv[4]));
  if (!strcmp(what, "race-exec")) race_exec(argv[2], argv[3], atoi(argv[4]));
  if (!strcmp(what, "ioctl")) say("ioctl", syscall(SYS_ioctl, 0, strtoul(argv[2], 0, 0), 0) < 0 && errno == ENOTTY ? 0 : -1);
  if (!strcmp(what, "levels")) {
    syscall(SYS_getppid);
    say("before", 0);
    say("established", open("ESTABLISHED", O_RDONLY));
    say("allowed", syscall(SYS_getuid));
    syscall(SYS_getppid);
    say("after", 0);
  }
  if (!strcmp(what, "threads")) {
    pthread_t thread;
    pthread_create(&thread, 0, call_in_thread, 0);
    open("ESTABLISHED", O_RDONLY);
    atomic_store(&over, 1);
    pthread_join(thread, 0);
    say("after", 0);
  }
  if (!strcmp(what, "tree")) {
    for (int i = 0; i < 5; ++i)
      if (fork() == 0) {
        if (fork() == 0) setsid();
        for (;;) pause();
      }
    usleep(200000);
    say("forked", 0);
    syscall(SYS_getppid);
    say("after", 0);
  }
  if (!strcmp(what, "int80")) {
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(20L) : "memory", "r8", "r9", "r10", "r11");
    say("int80", result);
  }
  if (!strcmp(what, "x32")) say("x32", syscall(0x40000000 | SYS_getpid));
  if (!strcmp(what, "exec")) {
    if (fork() == 0) {
      execv(argv[2], argv + 2);
      say("exec", -1);
      _exit(1);
    }
    wait(0);
  }
  if (!strcmp(what, "user")) {
    say("setuid", syscall(SYS_setuid, 65534));
    open_all(argv[2]);
  }
  return 0;
}
