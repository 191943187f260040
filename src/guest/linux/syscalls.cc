#include "guest/linux/syscalls.h"

#include <fmt/format.h>
#include <seccomp.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>

#include "base/text.h"

namespace furnace::guest {
namespace {

struct Row {
  uint32_t number;
  std::string_view name;
  std::string_view parameters;  ///< separated by spaces; '@' before a path, '#' before what fills a register
};

// By number, as in the kernel's arch/x86/entry/syscalls/syscall_64.tbl and include/linux/syscalls.h, with the
// names of the manual pages (section 2) where they have some. Flags that the kernel takes as a long are ints
// here: it reads no more of them.
// clang-format off
constexpr std::array kRows = {
    Row{0, "read", "fd #buf #count"}, Row{1, "write", "fd #buf #count"},
    Row{2, "open", "@pathname flags mode"}, Row{3, "close", "fd"}, Row{4, "stat", "@pathname #statbuf"},
    Row{5, "fstat", "fd #statbuf"}, Row{6, "lstat", "@pathname #statbuf"},
    Row{7, "poll", "#fds nfds timeout"}, Row{8, "lseek", "fd #offset whence"},
    Row{9, "mmap", "#addr #length prot flags fd #offset"}, Row{10, "mprotect", "#addr #len prot"},
    Row{11, "munmap", "#addr #length"}, Row{12, "brk", "#addr"},
    Row{13, "rt_sigaction", "signum #act #oldact #sigsetsize"},
    Row{14, "rt_sigprocmask", "how #set #oldset #sigsetsize"}, Row{15, "rt_sigreturn", ""},
    Row{16, "ioctl", "fd request #argp"}, Row{17, "pread64", "fd #buf #count #offset"},
    Row{18, "pwrite64", "fd #buf #count #offset"}, Row{19, "readv", "fd #iov #iovcnt"},
    Row{20, "writev", "fd #iov #iovcnt"}, Row{21, "access", "@pathname mode"}, Row{22, "pipe", "#pipefd"},
    Row{23, "select", "nfds #readfds #writefds #exceptfds #timeout"}, Row{24, "sched_yield", ""},
    Row{25, "mremap", "#old_address #old_size #new_size flags #new_address"},
    Row{26, "msync", "#addr #length flags"}, Row{27, "mincore", "#addr #length #vec"},
    Row{28, "madvise", "#addr #length advice"}, Row{29, "shmget", "key #size shmflg"},
    Row{30, "shmat", "shmid #shmaddr shmflg"}, Row{31, "shmctl", "shmid cmd #buf"}, Row{32, "dup", "oldfd"},
    Row{33, "dup2", "oldfd newfd"}, Row{34, "pause", ""}, Row{35, "nanosleep", "#req #rem"},
    Row{36, "getitimer", "which #value"}, Row{37, "alarm", "seconds"},
    Row{38, "setitimer", "which #value #ovalue"}, Row{39, "getpid", ""},
    Row{40, "sendfile", "out_fd in_fd #offset #count"}, Row{41, "socket", "domain type protocol"},
    Row{42, "connect", "sockfd #addr addrlen"}, Row{43, "accept", "sockfd #addr #addrlen"},
    Row{44, "sendto", "sockfd #buf #len flags #dest_addr addrlen"},
    Row{45, "recvfrom", "sockfd #buf #len flags #src_addr #addrlen"}, Row{46, "sendmsg", "sockfd #msg flags"},
    Row{47, "recvmsg", "sockfd #msg flags"}, Row{48, "shutdown", "sockfd how"},
    Row{49, "bind", "sockfd #addr addrlen"}, Row{50, "listen", "sockfd backlog"},
    Row{51, "getsockname", "sockfd #addr #addrlen"}, Row{52, "getpeername", "sockfd #addr #addrlen"},
    Row{53, "socketpair", "domain type protocol #sv"},
    Row{54, "setsockopt", "sockfd level optname #optval optlen"},
    Row{55, "getsockopt", "sockfd level optname #optval #optlen"},
    Row{56, "clone", "#flags #stack #parent_tid #child_tid #tls"}, Row{57, "fork", ""}, Row{58, "vfork", ""},
    Row{59, "execve", "@pathname #argv #envp"}, Row{60, "exit", "status"},
    Row{61, "wait4", "pid #wstatus options #rusage"}, Row{62, "kill", "pid sig"}, Row{63, "uname", "#buf"},
    Row{64, "semget", "key nsems semflg"}, Row{65, "semop", "semid #sops nsops"},
    Row{66, "semctl", "semid semnum cmd #arg"}, Row{67, "shmdt", "#shmaddr"}, Row{68, "msgget", "key msgflg"},
    Row{69, "msgsnd", "msqid #msgp #msgsz msgflg"}, Row{70, "msgrcv", "msqid #msgp #msgsz #msgtyp msgflg"},
    Row{71, "msgctl", "msqid cmd #buf"}, Row{72, "fcntl", "fd cmd #arg"}, Row{73, "flock", "fd operation"},
    Row{74, "fsync", "fd"}, Row{75, "fdatasync", "fd"}, Row{76, "truncate", "@path #length"},
    Row{77, "ftruncate", "fd #length"}, Row{78, "getdents", "fd #dirent count"},
    Row{79, "getcwd", "#buf #size"}, Row{80, "chdir", "@path"}, Row{81, "fchdir", "fd"},
    Row{82, "rename", "@oldpath @newpath"}, Row{83, "mkdir", "@pathname mode"}, Row{84, "rmdir", "@pathname"},
    Row{85, "creat", "@pathname mode"}, Row{86, "link", "@oldpath @newpath"}, Row{87, "unlink", "@pathname"},
    Row{88, "symlink", "@target @linkpath"}, Row{89, "readlink", "@pathname #buf bufsiz"},
    Row{90, "chmod", "@pathname mode"}, Row{91, "fchmod", "fd mode"},
    Row{92, "chown", "@pathname owner group"}, Row{93, "fchown", "fd user group"},
    Row{94, "lchown", "@pathname owner group"}, Row{95, "umask", "mask"}, Row{96, "gettimeofday", "#tv #tz"},
    Row{97, "getrlimit", "resource #rlim"}, Row{98, "getrusage", "who #ru"}, Row{99, "sysinfo", "#info"},
    Row{100, "times", "#tbuf"}, Row{101, "ptrace", "request pid #addr #data"}, Row{102, "getuid", ""},
    Row{103, "syslog", "type #buf len"}, Row{104, "getgid", ""}, Row{105, "setuid", "uid"},
    Row{106, "setgid", "gid"}, Row{107, "geteuid", ""}, Row{108, "getegid", ""},
    Row{109, "setpgid", "pid pgid"}, Row{110, "getppid", ""}, Row{111, "getpgrp", ""}, Row{112, "setsid", ""},
    Row{113, "setreuid", "ruid euid"}, Row{114, "setregid", "rgid egid"},
    Row{115, "getgroups", "gidsetsize #grouplist"}, Row{116, "setgroups", "gidsetsize #grouplist"},
    Row{117, "setresuid", "ruid euid suid"}, Row{118, "getresuid", "#ruid #euid #suid"},
    Row{119, "setresgid", "rgid egid sgid"}, Row{120, "getresgid", "#rgid #egid #sgid"},
    Row{121, "getpgid", "pid"}, Row{122, "setfsuid", "uid"}, Row{123, "setfsgid", "gid"},
    Row{124, "getsid", "pid"}, Row{125, "capget", "#header #dataptr"}, Row{126, "capset", "#header #data"},
    Row{127, "rt_sigpending", "#set #sigsetsize"},
    Row{128, "rt_sigtimedwait", "#uthese #uinfo #uts #sigsetsize"},
    Row{129, "rt_sigqueueinfo", "pid sig #uinfo"}, Row{130, "rt_sigsuspend", "#unewset #sigsetsize"},
    Row{131, "sigaltstack", "#uss #uoss"}, Row{132, "utime", "@pathname #times"},
    Row{133, "mknod", "@pathname mode dev"}, Row{134, "uselib", "@library"},
    Row{135, "personality", "personality"}, Row{136, "ustat", "dev #ubuf"}, Row{137, "statfs", "@path #buf"},
    Row{138, "fstatfs", "fd #buf"}, Row{139, "sysfs", "option #arg1 #arg2"},
    Row{140, "getpriority", "which who"}, Row{141, "setpriority", "which who niceval"},
    Row{142, "sched_setparam", "pid #param"}, Row{143, "sched_getparam", "pid #param"},
    Row{144, "sched_setscheduler", "pid policy #param"}, Row{145, "sched_getscheduler", "pid"},
    Row{146, "sched_get_priority_max", "policy"}, Row{147, "sched_get_priority_min", "policy"},
    Row{148, "sched_rr_get_interval", "pid #interval"}, Row{149, "mlock", "#addr #len"},
    Row{150, "munlock", "#addr #len"}, Row{151, "mlockall", "flags"}, Row{152, "munlockall", ""},
    Row{153, "vhangup", ""}, Row{154, "modify_ldt", "func #ptr #bytecount"},
    Row{155, "pivot_root", "@new_root @put_old"}, Row{156, "_sysctl", "#args"},
    Row{157, "prctl", "option #arg2 #arg3 #arg4 #arg5"}, Row{158, "arch_prctl", "code #addr"},
    Row{159, "adjtimex", "#txc_p"}, Row{160, "setrlimit", "resource #rlim"}, Row{161, "chroot", "@path"},
    Row{162, "sync", ""}, Row{163, "acct", "@filename"}, Row{164, "settimeofday", "#tv #tz"},
    Row{165, "mount", "@source @target #filesystemtype mountflags #data"},
    Row{166, "umount2", "@target flags"}, Row{167, "swapon", "@specialfile swap_flags"},
    Row{168, "swapoff", "@specialfile"}, Row{169, "reboot", "magic1 magic2 cmd #arg"},
    Row{170, "sethostname", "#name len"}, Row{171, "setdomainname", "#name len"}, Row{172, "iopl", "level"},
    Row{173, "ioperm", "#from #num turn_on"}, Row{174, "create_module", "#name #size"},
    Row{175, "init_module", "#module_image #len #param_values"}, Row{176, "delete_module", "#name flags"},
    Row{177, "get_kernel_syms", "#table"}, Row{178, "query_module", "#name which #buf #bufsize #ret"},
    Row{179, "quotactl", "cmd @special id #addr"}, Row{180, "nfsservctl", "cmd #argp #resp"},
    Row{181, "getpmsg", "#arg0 #arg1 #arg2 #arg3 #arg4"},
    Row{182, "putpmsg", "#arg0 #arg1 #arg2 #arg3 #arg4"},
    Row{183, "afs_syscall", "#arg0 #arg1 #arg2 #arg3 #arg4"}, Row{184, "tuxcall", "#arg0 #arg1 #arg2"},
    Row{185, "security", "#arg0 #arg1 #arg2"}, Row{186, "gettid", ""},
    Row{187, "readahead", "fd #offset #count"}, Row{188, "setxattr", "@path #name #value #size flags"},
    Row{189, "lsetxattr", "@path #name #value #size flags"},
    Row{190, "fsetxattr", "fd #name #value #size flags"}, Row{191, "getxattr", "@path #name #value #size"},
    Row{192, "lgetxattr", "@path #name #value #size"}, Row{193, "fgetxattr", "fd #name #value #size"},
    Row{194, "listxattr", "@path #list #size"}, Row{195, "llistxattr", "@path #list #size"},
    Row{196, "flistxattr", "fd #list #size"}, Row{197, "removexattr", "@path #name"},
    Row{198, "lremovexattr", "@path #name"}, Row{199, "fremovexattr", "fd #name"},
    Row{200, "tkill", "pid sig"}, Row{201, "time", "#tloc"},
    Row{202, "futex", "#uaddr futex_op val #timeout #uaddr2 val3"},
    Row{203, "sched_setaffinity", "pid len #mask"}, Row{204, "sched_getaffinity", "pid len #mask"},
    Row{205, "set_thread_area", "#u_info"}, Row{206, "io_setup", "nr_reqs #ctx"},
    Row{207, "io_destroy", "#ctx"}, Row{208, "io_getevents", "#ctx_id #min_nr #nr #events #timeout"},
    Row{209, "io_submit", "#ctx_id #nr #iocbpp"}, Row{210, "io_cancel", "#ctx_id #iocb #result"},
    Row{211, "get_thread_area", "#u_info"}, Row{212, "lookup_dcookie", "#cookie #buf #len"},
    Row{213, "epoll_create", "size"}, Row{214, "epoll_ctl_old", "epfd op fd #event"},
    Row{215, "epoll_wait_old", "epfd #events maxevents timeout"},
    Row{216, "remap_file_pages", "#addr #size #prot #pgoff #flags"}, Row{217, "getdents64", "fd #dirp count"},
    Row{218, "set_tid_address", "#tidptr"}, Row{219, "restart_syscall", ""},
    Row{220, "semtimedop", "semid #tsops nsops #timeout"}, Row{221, "fadvise64", "fd #offset #len advice"},
    Row{222, "timer_create", "clockid #timer_event_spec #created_timer_id"},
    Row{223, "timer_settime", "timerid flags #new_setting #old_setting"},
    Row{224, "timer_gettime", "timerid #setting"}, Row{225, "timer_getoverrun", "timerid"},
    Row{226, "timer_delete", "timerid"}, Row{227, "clock_settime", "clockid #tp"},
    Row{228, "clock_gettime", "clockid #tp"}, Row{229, "clock_getres", "clockid #tp"},
    Row{230, "clock_nanosleep", "clockid flags #request #remain"}, Row{231, "exit_group", "status"},
    Row{232, "epoll_wait", "epfd #events maxevents timeout"}, Row{233, "epoll_ctl", "epfd op fd #event"},
    Row{234, "tgkill", "tgid tid sig"}, Row{235, "utimes", "@pathname #utimes"},
    Row{236, "vserver", "#arg0 #arg1 #arg2 #arg3 #arg4"},
    Row{237, "mbind", "#addr #len #mode #nmask #maxnode flags"},
    Row{238, "set_mempolicy", "mode #nmask #maxnode"},
    Row{239, "get_mempolicy", "#policy #nmask #maxnode #addr #flags"},
    Row{240, "mq_open", "#name oflag mode #attr"}, Row{241, "mq_unlink", "#name"},
    Row{242, "mq_timedsend", "mqdes #msg_ptr #msg_len msg_prio #abs_timeout"},
    Row{243, "mq_timedreceive", "mqdes #msg_ptr #msg_len #msg_prio #abs_timeout"},
    Row{244, "mq_notify", "mqdes #notification"}, Row{245, "mq_getsetattr", "mqdes #mqstat #omqstat"},
    Row{246, "kexec_load", "#entry #nr_segments #segments #flags"},
    Row{247, "waitid", "idtype id #infop options #rusage"},
    Row{248, "add_key", "#type #description #payload #plen keyring"},
    Row{249, "request_key", "#type #description #callout_info keyring"},
    Row{250, "keyctl", "operation #argument2 #argument3 #argument4 #argument5"},
    Row{251, "ioprio_set", "which who ioprio"}, Row{252, "ioprio_get", "which who"},
    Row{253, "inotify_init", ""}, Row{254, "inotify_add_watch", "fd @pathname mask"},
    Row{255, "inotify_rm_watch", "fd wd"}, Row{256, "migrate_pages", "pid #maxnode #from #to"},
    Row{257, "openat", "dirfd @pathname flags mode"}, Row{258, "mkdirat", "dirfd @pathname mode"},
    Row{259, "mknodat", "dirfd @pathname mode dev"},
    Row{260, "fchownat", "dirfd @pathname owner group flags"},
    Row{261, "futimesat", "dirfd @pathname #utimes"},
    Row{262, "newfstatat", "dirfd @pathname #statbuf flags"}, Row{263, "unlinkat", "dirfd @pathname flags"},
    Row{264, "renameat", "olddirfd @oldpath newdirfd @newpath"},
    Row{265, "linkat", "olddirfd @oldpath newdirfd @newpath flags"},
    Row{266, "symlinkat", "@target newdirfd @linkpath"},
    Row{267, "readlinkat", "dirfd @pathname #buf bufsiz"}, Row{268, "fchmodat", "dirfd @pathname mode"},
    Row{269, "faccessat", "dirfd @pathname mode"},
    Row{270, "pselect6", "nfds #readfds #writefds #exceptfds #timeout #sigmask"},
    Row{271, "ppoll", "#fds nfds #tmo_p #sigmask #sigsetsize"}, Row{272, "unshare", "flags"},
    Row{273, "set_robust_list", "#head #len"}, Row{274, "get_robust_list", "pid #head_ptr #len_ptr"},
    Row{275, "splice", "fd_in #off_in fd_out #off_out #len flags"}, Row{276, "tee", "fdin fdout #len flags"},
    Row{277, "sync_file_range", "fd #offset #nbytes flags"}, Row{278, "vmsplice", "fd #iov #nr_segs flags"},
    Row{279, "move_pages", "pid #nr_pages #pages #nodes #status flags"},
    Row{280, "utimensat", "dirfd @pathname #utimes flags"},
    Row{281, "epoll_pwait", "epfd #events maxevents timeout #sigmask #sigsetsize"},
    Row{282, "signalfd", "fd #user_mask #sizemask"}, Row{283, "timerfd_create", "clockid flags"},
    Row{284, "eventfd", "count"}, Row{285, "fallocate", "fd mode #offset #len"},
    Row{286, "timerfd_settime", "fd flags #new_value #old_value"},
    Row{287, "timerfd_gettime", "fd #old_value"}, Row{288, "accept4", "sockfd #addr #addrlen flags"},
    Row{289, "signalfd4", "fd #user_mask #sizemask flags"}, Row{290, "eventfd2", "count flags"},
    Row{291, "epoll_create1", "flags"}, Row{292, "dup3", "oldfd newfd flags"},
    Row{293, "pipe2", "#pipefd flags"}, Row{294, "inotify_init1", "flags"},
    Row{295, "preadv", "fd #iov #iovcnt #pos_l #pos_h"}, Row{296, "pwritev", "fd #iov #iovcnt #pos_l #pos_h"},
    Row{297, "rt_tgsigqueueinfo", "tgid pid sig #uinfo"},
    Row{298, "perf_event_open", "#attr_uptr pid cpu group_fd #flags"},
    Row{299, "recvmmsg", "sockfd #msgvec vlen flags #timeout"},
    Row{300, "fanotify_init", "flags event_f_flags"},
    Row{301, "fanotify_mark", "fanotify_fd flags #mask fd @pathname"},
    Row{302, "prlimit64", "pid resource #new_rlim #old_rlim"},
    Row{303, "name_to_handle_at", "dirfd @pathname #handle #mount_id flags"},
    Row{304, "open_by_handle_at", "mountdirfd #handle flags"}, Row{305, "clock_adjtime", "clockid #tx"},
    Row{306, "syncfs", "fd"}, Row{307, "sendmmsg", "sockfd #msgvec vlen flags"},
    Row{308, "setns", "fd nstype"}, Row{309, "getcpu", "#cpu #node #cache"},
    Row{310, "process_vm_readv", "pid #local_iov #liovcnt #remote_iov #riovcnt flags"},
    Row{311, "process_vm_writev", "pid #local_iov #liovcnt #remote_iov #riovcnt flags"},
    Row{312, "kcmp", "pid1 pid2 type #idx1 #idx2"}, Row{313, "finit_module", "fd #param_values flags"},
    Row{314, "sched_setattr", "pid #attr flags"}, Row{315, "sched_getattr", "pid #attr size flags"},
    Row{316, "renameat2", "olddirfd @oldpath newdirfd @newpath flags"},
    Row{317, "seccomp", "op flags #uargs"}, Row{318, "getrandom", "#buf #buflen flags"},
    Row{319, "memfd_create", "#name flags"},
    Row{320, "kexec_file_load", "kernel_fd initrd_fd #cmdline_len #cmdline_ptr #flags"},
    Row{321, "bpf", "cmd #attr size"}, Row{322, "execveat", "dirfd @pathname #argv #envp flags"},
    Row{323, "userfaultfd", "flags"}, Row{324, "membarrier", "cmd flags cpu_id"},
    Row{325, "mlock2", "#addr #len flags"},
    Row{326, "copy_file_range", "fd_in #off_in fd_out #off_out #len flags"},
    Row{327, "preadv2", "fd #iov #iovcnt #pos_l #pos_h flags"},
    Row{328, "pwritev2", "fd #iov #iovcnt #pos_l #pos_h flags"},
    Row{329, "pkey_mprotect", "#addr #len #prot pkey"}, Row{330, "pkey_alloc", "#flags #init_val"},
    Row{331, "pkey_free", "pkey"}, Row{332, "statx", "dirfd @pathname flags mask #statxbuf"},
    Row{333, "io_pgetevents", "#ctx_id #min_nr #nr #events #timeout #sig"},
    Row{334, "rseq", "#rseq rseq_len flags sig"}, Row{335, "uretprobe", ""},
    Row{424, "pidfd_send_signal", "pidfd sig #info flags"}, Row{425, "io_uring_setup", "entries #p"},
    Row{426, "io_uring_enter", "fd to_submit min_complete flags #argp #argsz"},
    Row{427, "io_uring_register", "fd op #arg nr_args"}, Row{428, "open_tree", "dirfd @path flags"},
    Row{429, "move_mount", "from_dirfd @from_pathname to_dirfd @to_pathname ms_flags"},
    Row{430, "fsopen", "#fs_name flags"}, Row{431, "fsconfig", "fs_fd cmd #key #value aux"},
    Row{432, "fsmount", "fs_fd flags ms_flags"}, Row{433, "fspick", "dirfd @path flags"},
    Row{434, "pidfd_open", "pid flags"}, Row{435, "clone3", "#cl_args #size"},
    Row{436, "close_range", "fd max_fd flags"}, Row{437, "openat2", "dirfd @pathname #how #size"},
    Row{438, "pidfd_getfd", "pidfd fd flags"}, Row{439, "faccessat2", "dirfd @pathname mode flags"},
    Row{440, "process_madvise", "pidfd #iov #iovcnt behavior flags"},
    Row{441, "epoll_pwait2", "epfd #events maxevents #timeout #sigmask #sigsetsize"},
    Row{442, "mount_setattr", "dirfd @path flags #uattr #usize"}, Row{443, "quotactl_fd", "fd cmd id #addr"},
    Row{444, "landlock_create_ruleset", "#attr #size flags"},
    Row{445, "landlock_add_rule", "ruleset_fd rule_type #rule_attr flags"},
    Row{446, "landlock_restrict_self", "ruleset_fd flags"}, Row{447, "memfd_secret", "flags"},
    Row{448, "process_mrelease", "pidfd flags"},
    Row{449, "futex_waitv", "#waiters nr_futexes flags #timeout clockid"},
    Row{450, "set_mempolicy_home_node", "#addr #len #home_node #flags"},
    Row{451, "cachestat", "fd #cstat_range #cstat flags"},
    Row{452, "fchmodat2", "dirfd @pathname mode flags"}, Row{453, "map_shadow_stack", "#addr #size flags"},
    Row{454, "futex_wake", "#uaddr #mask nr flags"},
    Row{455, "futex_wait", "#uaddr #val #mask flags #timespec clockid"},
    Row{456, "futex_requeue", "#waiters flags nr_wake nr_requeue"},
    Row{457, "statmount", "#req #buf #bufsize flags"},
    Row{458, "listmount", "#req #mnt_ids #nr_mnt_ids flags"},
    Row{459, "lsm_get_self_attr", "attr #ctx #size flags"},
    Row{460, "lsm_set_self_attr", "attr #ctx size flags"}, Row{461, "lsm_list_modules", "#ids #size flags"},
    Row{462, "mseal", "#addr #len #flags"},
};
// clang-format on
static_assert(std::is_sorted(kRows.begin(), kRows.end(),
                             [](const Row& a, const Row& b) { return a.number < b.number; }));

auto row_of(std::string_view name) {
  return std::find_if(kRows.begin(), kRows.end(), [&](const Row& each) { return each.name == name; });
}

}  // namespace

std::string syscall_name(uint32_t number) {
  const auto row = std::lower_bound(kRows.begin(), kRows.end(), number,
                                    [](const Row& each, uint32_t wanted) { return each.number < wanted; });
  if (row != kRows.end() && row->number == number) return std::string(row->name);
  if (number <= INT32_MAX) {
    const std::unique_ptr<char, void (*)(void*)> name(
        seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, static_cast<int>(number)), std::free);
    if (name) return name.get();
  }
  return fmt::format("syscall_{}", number);
}

std::optional<uint32_t> syscall_number(const std::string& name) {
  if (const auto row = row_of(name); row != kRows.end()) return row->number;
  const int number = seccomp_syscall_resolve_name_arch(SCMP_ARCH_X86_64, name.c_str());
  if (number < 0) return std::nullopt;
  return static_cast<uint32_t>(number);
}

std::optional<std::vector<SyscallParameter>> syscall_parameters(std::string_view name) {
  const auto row = row_of(name);
  if (row == kRows.end()) return std::nullopt;
  std::vector<SyscallParameter> parameters;
  for (const std::string_view word : items(row->parameters, ' ')) {
    const bool is_path = word.starts_with('@'), is_wide = is_path || word.starts_with('#');
    parameters.push_back({word.substr(is_wide ? 1 : 0), is_path, is_wide});
  }
  return parameters;
}

}  // namespace furnace::guest
