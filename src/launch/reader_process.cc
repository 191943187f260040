#include "launch/reader_process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "base/command.h"
#include "base/directories.h"
#include "base/file.h"
#include "base/log.h"
#include "base/signals.h"
#include "launch/group_name.h"
#include "launch/kind.h"
#include "sandbox/partition.h"
#include "sandbox/policy/policy_parser.h"
#include "sandbox/rootfs.h"

namespace furnace::launch {
namespace {

constexpr const char* kReader = "furnace-reader";
/// A vmlinux with debug information, or an exported profile, is in memory as a whole, on a heap of large
/// pages that begins with 1 GB of addresses.
constexpr uint64_t kReaderMemory = uint64_t{3} << 30;

sandbox::Limits limits() {
  sandbox::Limits limits;
  limits.processes = 4;  // a kdump file has a process of its own
  limits.memory_mb = kReaderMemory >> 20;
  return limits;
}

/// A control group with the name of the VM, where this host lets us make one. Only for what may fork, as for
/// a kdump file: to enter a group takes longer than all else, and the other limits hold for one process.
void choose_group(sandbox::Partition& partition, const std::string& vm, bool forks) {
  if (!forks || ::geteuid() != 0 || !sandbox::Hierarchies::of_host()) return;
  partition.group = group_name("reader", std::filesystem::path(vm).filename().native());
  partition.limits = limits();
}

Result<sandbox::Partition> make_partition(ReaderStart& start, const Directory& root) {
  sandbox::Partition partition;
  partition.name = fmt::format("reader {}", start.vm);
  partition.view.root = root.path();
  partition.account = sandbox::partition_account();
  partition.policy_name = "reader";
  FURNACE_TRY(auto parsed, policy::load_policy(installed_directory("policies") / "reader.policy"));
  partition.policy = std::move(parsed.policy);
  partition.file_size = start.file_size;
  partition.private_memory = kReaderMemory;
  partition.command = std::move(start.arguments);
  partition.command.insert(partition.command.begin(), fmt::format("/usr/bin/{}", kReader));
  partition.handles = std::move(start.handles);
  constexpr uint64_t log_at_once = 1 << 20, log_per_second = 1 << 10;
  partition.output.at_once = log_at_once;
  partition.output.per_second = log_per_second;
  choose_group(partition, start.vm, start.forks);
  partition.listed = false;
  return partition;
}

/// The program itself, without a partition. Returns only if that fails.
Status become_reader(ReaderStart start) {
  for (const Fd& each : start.handles) ::fcntl(each.get(), F_SETFD, 0);  // NOLINT: variadic
  start.arguments.insert(start.arguments.begin(), kReader);
  return become(kReader, std::move(start.arguments));
}

void say(const Fd& to, const Error& error) {
  const std::string text = fmt::format("{} {}", static_cast<int>(error.code()), error.message());
  (void)!::write(to.get(), text.data(), text.size());
}

/// Nothing of ours may be left of it when its command has ended.
void be_launcher(pid_t command) {
  default_signals();
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // NOLINT: variadic
  if (::getppid() != command) ::_exit(1);
  if (const auto nothing = open_file("/dev/null", O_WRONLY)) ::dup2(nothing->get(), STDOUT_FILENO);
}

}  // namespace

Result<ReaderProcess> ReaderProcess::start(ReaderStart start) {
  sandbox::Root root;
  std::optional<sandbox::Partition> partition;
  if (start.unconfined) {
    log::warning("reader {}: NOT CONFINED: a guest that takes it over has all rights of user {} on this host",
                 start.vm, ::geteuid());
  } else {
    FURNACE_TRY(root, sandbox::find_root(kReaderRoot));
    FURNACE_TRY(const Directory directory, Directory::open(root.directory, Care::Content));
    FURNACE_TRY(partition, make_partition(start, directory));
  }
  FURNACE_TRY(auto trouble, make_pipe());
  const pid_t command = ::getpid();
  const pid_t launcher = ::fork();
  if (launcher < 0) return fail_errno("fork");
  if (launcher == 0) {
    be_launcher(command);
    trouble.reading.close();
    if (!partition) {
      say(trouble.writing, become_reader(std::move(start)).error());
      ::_exit(1);
    }
    const auto end = sandbox::run_partition(*std::move(partition), Fd());
    if (!end) say(trouble.writing, end.error());
    ::_exit(end ? end->exit_code : 1);
  }
  return ReaderProcess(launcher, std::move(trouble.reading));
}

ReaderProcess::~ReaderProcess() {
  if (launcher_ != 0) (void)end(false);
}

Status ReaderProcess::end(bool by_itself) {
  const pid_t launcher = std::exchange(launcher_, 0);
  if (!by_itself) ::kill(launcher, SIGKILL);
  int status = 0;
  while (::waitpid(launcher, &status, 0) < 0 && errno == EINTR) {
  }
  if (!by_itself) return {};
  FURNACE_TRY(const std::string text, read_descriptor(trouble_, 1 << 16));
  if (!text.empty()) {
    const size_t space = text.find(' ');
    return fail(static_cast<Errc>(std::atoi(text.c_str())), "{}", text.substr(space + 1));
  }
  const int code = exit_code_of(status);
  return code == 0 ? Status() : Status(fail(Errc::Failed, "{}: exited with {}", kReader, code));
}

}  // namespace furnace::launch
