#include "base/command.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "base/directories.h"
#include "base/fd.h"
#include "base/signals.h"
#include "base/text.h"

namespace furnace {
namespace {

[[noreturn]] void become(const std::vector<std::string>& command, const std::filesystem::path& directory,
                         int out, int err) {
  std::vector<char*> arguments;
  arguments.reserve(command.size() + 1);
  for (const std::string& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  ::setpgid(0, 0);  // so that it is ended with what it has started
  ::dup2(out, STDOUT_FILENO);
  ::dup2(err, STDERR_FILENO);
  if (directory.empty() || ::chdir(directory.c_str()) == 0) ::execvp(arguments[0], arguments.data());
  const char* reason = std::strerror(errno);
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, reason, std::strlen(reason));
  ::_exit(127);
}

/// Reads both pipes to their ends, or until a signal interrupts us.
void drain(int out, int err, std::string& output, std::string& errors) {
  pollfd items[2] = {{out, POLLIN, 0}, {err, POLLIN, 0}};
  constexpr int between_looks = 100;  // ms: a signal may come just before poll
  while ((items[0].fd >= 0 || items[1].fd >= 0) && check_interrupted()) {
    if (::poll(items, 2, between_looks) < 0 && errno != EINTR) return;
    for (pollfd& item : items) {
      if (item.fd < 0 || item.revents == 0) continue;
      char piece[4096];
      const ssize_t got = ::read(item.fd, piece, sizeof piece);
      if (got <= 0) {
        item.fd = -1;
      } else {
        (&item == &items[0] ? output : errors).append(piece, static_cast<size_t>(got));
      }
    }
  }
}

}  // namespace

std::filesystem::path find_program(std::string_view program) {
  const char* path = std::getenv("PATH");
  const std::string_view searched = path != nullptr ? path : "/usr/sbin:/usr/bin:/sbin:/bin";
  for (const std::string_view directory : items(searched, ':')) {
    const auto candidate = std::filesystem::path(directory) / program;
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return {};
}

Result<std::string> run(const std::vector<std::string>& command, const std::filesystem::path& directory) {
  FURNACE_TRY(Pipe out, make_pipe());
  FURNACE_TRY(Pipe err, make_pipe());
  const pid_t pid = ::fork();
  if (pid < 0) return fail_errno("fork");
  if (pid == 0) become(command, directory, out.writing.get(), err.writing.get());
  out.writing.close();
  err.writing.close();
  std::string output;
  std::string errors;
  drain(out.reading.get(), err.reading.get(), output, errors);
  const Status goes_on = check_interrupted();
  if (!goes_on) ::kill(-pid, SIGTERM);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (!goes_on) return fail(goes_on.error(), command.front());
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return output;
  while (errors.ends_with('\n')) errors.pop_back();
  constexpr size_t kept = 500;
  if (errors.size() > kept) errors = "..." + errors.substr(errors.size() - kept);
  return fail(Errc::Failed, "{} failed: {}", command.front(), errors.empty() ? "no message" : errors);
}

Status become(const std::string& program, std::vector<std::string> arguments) {
  std::vector<char*> all;
  all.reserve(arguments.size() + 1);
  for (std::string& each : arguments) all.push_back(each.data());
  all.push_back(nullptr);
  ::execv((program_directory() / program).c_str(), all.data());
  ::execvp(program.c_str(), all.data());
  return fail_errno("{}", program);
}

int exit_code_of(int wait_status) {
  constexpr int by_signal = 128;
  return WIFSIGNALED(wait_status) ? by_signal + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

}  // namespace furnace
