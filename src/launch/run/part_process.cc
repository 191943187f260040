#include "launch/run/part_process.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "base/bytes.h"
#include "base/command.h"
#include "base/directory.h"
#include "base/file.h"
#include "base/signals.h"

namespace furnace::launch {
namespace {

namespace fs = std::filesystem;

constexpr size_t kLinesKept = 40;
constexpr size_t kLongestLine = 4096;
constexpr size_t kReportsKept = 20;

void write_all(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
    if (written <= 0) return;
    text.remove_prefix(static_cast<size_t>(written));
  }
}

}  // namespace

void PartProcess::become(int log, const std::string& ready_address) const {
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  ::setpgid(0, 0);  // Ctrl-C is the supervisor's to hand on, in order
  ::dup2(log, STDERR_FILENO);
  ::setenv("NOTIFY_SOCKET", ready_address.c_str(), 1);  // NOLINT(concurrency-mt-unsafe): no threads here
  default_signals();
  std::vector<std::string> words{"furnace", part_.name};
  words.insert(words.end(), part_.arguments.begin(), part_.arguments.end());
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  ::execv("/proc/self/exe", arguments.data());
  write_all(fmt::format("furnace: {}\n", errno_text(errno)));
  ::_exit(127);
}

Status PartProcess::start(const std::string& ready_address) {
  FURNACE_TRY(Pipe log, make_pipe());
  log_ = std::move(log.reading);
  ::fcntl(log_.get(), F_SETFL, O_NONBLOCK);  // NOLINT: variadic
  ready = false;
  partial_.clear();
  lines_.clear();
  started_ = Clock::now();
  // Until it executes its program the child has the supervisor's handlers, which would swallow a signal.
  const HoldSignals held;
  pid_ = ::fork();
  if (pid_ < 0) return fail_errno("fork");
  if (pid_ == 0) become(log.writing.get(), ready_address);
  ended_ = Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
  if (!ended_.valid()) return fail_errno("pidfd_open");
  return {};
}

void PartProcess::signal(int number) const {
  if (running()) ::syscall(SYS_pidfd_send_signal, ended_.get(), number, nullptr, 0);
}

bool PartProcess::take_log() {
  constexpr size_t piece = 64 << 10;
  std::string data(piece, '\0');
  const ssize_t got = ::read(log_.get(), data.data(), data.size());
  if (got < 0 && (errno == EINTR || errno == EAGAIN)) return false;
  if (got <= 0) {
    log_.close();
    return false;
  }
  data.resize(static_cast<size_t>(got));
  write_all(data);
  partial_ += data;
  for (size_t end = 0; (end = partial_.find('\n')) != std::string::npos;) {
    lines_.push_back(partial_.substr(0, std::min(end, kLongestLine)));
    partial_.erase(0, end + 1);
    if (lines_.size() > kLinesKept) lines_.pop_front();
  }
  if (partial_.size() > kLongestLine) partial_.resize(kLongestLine);
  return true;
}

End PartProcess::take_end() {
  int status = 0;
  ::waitpid(pid_, &status, 0);
  pid_ = -1;
  ended_.close();
  while (take_log()) {
  }
  log_.close();  // not at its end if a process that cleans up after the launcher still has it
  End end;
  end.seconds = std::chrono::duration<double>(Clock::now() - started_).count();
  constexpr int by_signal = 128;
  end.exit_code = exit_code_of(status);
  // The launcher hands on what ended its program: 128 and the signal's number.
  const int number = end.exit_code > by_signal ? end.exit_code - by_signal : 0;
  const char* const meaning = number != 0 ? ::sigdescr_np(number) : nullptr;
  if (end.exit_code == by_signal + SIGSYS) {
    end.text = "a system call that its policy doesn't allow";
  } else if (meaning != nullptr) {
    end.text = fmt::format("signal {} ({})", number, meaning);
  } else {
    end.text = fmt::format("exit code {}", end.exit_code);
  }
  return end;
}

Result<fs::path> write_crash_report(const fs::path& directory, const PartProcess& process, const End& end,
                                    unsigned restarts) {
  // It holds the app's metadata and its last words: only its owner may read it, also where all could
  // read an earlier one.
  constexpr unsigned owners = 0700, owners_file = 0600;
  FURNACE_TRY(const Directory reports_in, Directory::make(directory, Care::Content, owners));
  if (reports_in.owner() == ::geteuid()) ::fchmod(reports_in.descriptor(), owners);
  const auto now = std::chrono::system_clock::now();
  const std::string time =
      fmt::format("{:%Y%m%dT%H%M%S}", fmt::gmtime(std::chrono::system_clock::to_time_t(now)));
  const auto milliseconds =
      std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count() % 1000;
  const fs::path path = directory / fmt::format("{}.{:03}Z-{}.txt", time, milliseconds, process.part().name);
  std::string text = fmt::format(
      "partition: {}\nended:     {:%Y-%m-%d %H:%M:%S} UTC, after {:.1f} s\nby:        {}\nrestarts:  {} "
      "before\n"
      "command:   {}\n\nthe last lines of its log:\n",
      process.part().name, fmt::gmtime(std::chrono::system_clock::to_time_t(now)), end.seconds, end.text,
      restarts, to_text(process.part()));
  for (const std::string& line : process.last_lines()) text += "    " + printable_lines(line) + '\n';
  FURNACE_CHECK(write_file(path, text, owners_file));
  std::vector<fs::path> reports;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error))
    if (entry.path().extension() == ".txt") reports.push_back(entry.path());
  std::sort(reports.begin(), reports.end());
  for (size_t i = 0; i + kReportsKept < reports.size(); ++i) fs::remove(reports[i], error);
  return path;
}

}  // namespace furnace::launch
