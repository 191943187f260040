#include "sandbox/policy/launch.h"

#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <new>
#include <thread>

#include "base/text.h"

namespace furnace::policy {
namespace {

std::shared_ptr<Handshake> shared_handshake() {
  void* const memory =
      ::mmap(nullptr, sizeof(Handshake), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  return {new (memory) Handshake, [](Handshake* shared) { ::munmap(shared, sizeof(Handshake)); }};
}

/// In the child; makes no system call between the filter and the execve.
[[noreturn]] void become(Handshake& handshake, const sock_fprog& filter, const char* program,
                         char* const* arguments) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);        // NOLINT: variadic
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);  // NOLINT: variadic
  // Without the second flag a signal would interrupt a call that is being answered, and repeat it.
  const auto listener = static_cast<int>(
      ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, &filter));
  handshake.listener.store(listener >= 0 ? listener : -errno - 1, std::memory_order_release);
  while (!handshake.taken.load(std::memory_order_acquire)) __builtin_ia32_pause();
  ::execv(program, arguments);
  handshake.exec_error.store(errno, std::memory_order_release);
  ::_exit(127);
}

Result<Fd> take_listener(const Handshake& handshake, pid_t child) {
  const Fd process(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
  if (!process.valid()) return fail_errno("pidfd_open");
  constexpr std::chrono::seconds time(10);
  const auto end = std::chrono::steady_clock::now() + time;
  int number = Handshake::kNotYet;
  while ((number = handshake.listener.load(std::memory_order_acquire)) == Handshake::kNotYet) {
    if (std::chrono::steady_clock::now() > end)
      return fail(Errc::Failed, "the filter was not loaded in {} s", time.count());
    std::this_thread::yield();
  }
  if (number < 0) {
    errno = -number - 1;
    return fail_errno("the kernel refuses the filter (Linux 5.19 or later is needed)");
  }
  Fd listener(static_cast<int>(::syscall(SYS_pidfd_getfd, process.get(), number, 0)));
  if (!listener.valid()) return fail_errno("pidfd_getfd");
  return listener;
}

}  // namespace

Result<std::string> find_program(const std::string& name) {
  const auto runs = [](const std::string& path) {
    std::error_code ignored;
    if (std::filesystem::is_directory(path, ignored)) errno = EISDIR;
    return !std::filesystem::is_directory(path, ignored) && ::access(path.c_str(), X_OK) == 0;
  };
  if (name.find('/') != std::string::npos) {
    if (runs(name)) return name;
    return fail_errno("{}", name);
  }
  const char* const path = std::getenv("PATH");  // NOLINT(concurrency-mt-unsafe): no thread changes it
  const std::string_view searched = path != nullptr ? path : "/usr/bin:/bin";
  for (const std::string_view directory : items(searched, ':')) {
    std::string candidate = fmt::format("{}/{}", directory, name);
    if (runs(candidate)) return candidate;
  }
  return fail(Errc::NotFound, "{}: not on the PATH", name);
}

Result<Started> start_under(std::span<const sock_filter> filter, const std::vector<std::string>& command) {
  if (command.empty()) return fail(Errc::Invalid, "no program given");
  FURNACE_TRY(const std::string program, find_program(command.front()));
  const auto shared = shared_handshake();
  if (!shared) return fail_errno("shared memory");
  std::vector<char*> arguments;
  for (const std::string& each : command)
    arguments.push_back(const_cast<char*>(each.c_str()));  // NOLINT: execv's
  arguments.push_back(nullptr);
  const sock_fprog loaded{static_cast<unsigned short>(filter.size()),
                          const_cast<sock_filter*>(filter.data())};  // NOLINT: the kernel copies it
  const pid_t child = ::fork();
  if (child < 0) return fail_errno("fork");
  if (child == 0) become(*shared, loaded, program.c_str(), arguments.data());
  auto listener = take_listener(*shared, child);
  if (!listener) {
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    return tl::unexpected<Error>(listener.error());
  }
  shared->taken.store(true, std::memory_order_release);
  return Started{child, *std::move(listener), shared};
}

}  // namespace furnace::policy
