#include "app/native/crash_report.h"

#include <dlfcn.h>
#include <ucontext.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace furnace::app {
namespace {

/// Text of a fixed size: a handler must not allocate.
class Line {
 public:
  void add(std::string_view text) {
    for (const char c : text)
      if (size_ < text_.size() - 1) text_.at(size_++) = c;
  }
  void add_hexadecimal(uint64_t number) {
    add("0x");
    int shift = 60;
    while (shift > 0 && (number >> shift) == 0) shift -= 4;
    for (; shift >= 0; shift -= 4)
      add(std::string_view("0123456789abcdef").substr((number >> shift) & 15, 1));
  }
  void write() {
    text_.at(size_++) = '\n';
    (void)!::write(STDERR_FILENO, text_.data(), size_);
  }

 private:
  std::array<char, 512> text_{};
  size_t size_ = 0;
};

constexpr struct {
  int number;
  std::string_view name;
} kSignals[] = {{SIGSEGV, "SIGSEGV (an address that it may not access)"},
                {SIGBUS, "SIGBUS (memory that is not there)"},
                {SIGFPE, "SIGFPE (a division by zero, or its like)"},
                {SIGILL, "SIGILL (not an instruction)"},
                {SIGABRT, "SIGABRT (abort, or an exception that nobody catches)"}};

void report(int number, siginfo_t* info, void* context) {
  const auto& registers = static_cast<const ucontext_t*>(context)->uc_mcontext.gregs;
  const auto rip = static_cast<uint64_t>(registers[REG_RIP]);
  Line line;
  line.add("furnace-app: the app crashed: ");
  for (const auto& each : kSignals)
    if (each.number == number) line.add(each.name);
  Dl_info place{};
  if (::dladdr(reinterpret_cast<void*>(rip), &place) != 0 &&
      place.dli_fname != nullptr) {  // NOLINT: an address
    line.add(" at ");
    line.add(place.dli_fname);
    line.add("+");
    line.add_hexadecimal(rip - reinterpret_cast<uint64_t>(place.dli_fbase));
    if (place.dli_sname != nullptr) {
      line.add(" in ");
      line.add(place.dli_sname);
    }
  } else {
    line.add(" at ");
    line.add_hexadecimal(rip);
  }
  if (number == SIGSEGV || number == SIGBUS) {
    line.add(", address ");
    line.add_hexadecimal(reinterpret_cast<uint64_t>(info->si_addr));
  }
  line.write();
  // The instruction runs again, or abort() goes on, and the signal ends the process now (SA_RESETHAND).
}

}  // namespace

void report_crashes() {
  struct sigaction action {};
  action.sa_sigaction = report;
  action.sa_flags = SA_SIGINFO | SA_RESETHAND;
  for (const auto& each : kSignals) ::sigaction(each.number, &action, nullptr);
}

}  // namespace furnace::app
