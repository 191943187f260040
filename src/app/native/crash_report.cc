#include "app/native/crash_report.h"

#include <cxxabi.h>
#include <dlfcn.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <string_view>
#include <typeinfo>

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
                {SIGABRT, "SIGABRT"}};
constexpr int kBySignal = 128;

/// " at LIBRARY+OFFSET in FUNCTION"
void add_place(Line& line, uint64_t address) {
  line.add(" at ");
  Dl_info place{};
  if (::dladdr(reinterpret_cast<void*>(address), &place) == 0 ||
      place.dli_fname == nullptr) {  // NOLINT: an address
    line.add_hexadecimal(address);
    return;
  }
  line.add(place.dli_fname);
  line.add("+");
  line.add_hexadecimal(address - reinterpret_cast<uint64_t>(place.dli_fbase));
  if (place.dli_sname == nullptr) return;
  line.add(" in ");
  line.add(place.dli_sname);
}

/// Returns true if the stack would grow to this address next.
bool is_below_stack(uint64_t address, uint64_t stack_pointer) {
  constexpr uint64_t largest_frame = 1 << 20, red_zone = 256;
  return address + largest_frame >= stack_pointer && address <= stack_pointer + red_zone;
}

constexpr std::string_view kCrashed = "furnace-app: the app crashed: ";

void report(int number, siginfo_t* info, void* context) {
  const auto& registers = static_cast<const ucontext_t*>(context)->uc_mcontext.gregs;
  const auto rip = static_cast<uint64_t>(registers[REG_RIP]);
  Line line;
  line.add(kCrashed);
  for (const auto& each : kSignals)
    if (each.number == number) line.add(each.name);
  add_place(line, rip);
  if (number == SIGSEGV || number == SIGBUS) {
    line.add(", address ");
    line.add_hexadecimal(reinterpret_cast<uint64_t>(info->si_addr));
    if (is_below_stack(reinterpret_cast<uint64_t>(info->si_addr), static_cast<uint64_t>(registers[REG_RSP])))
      line.add(": its stack has overflowed");
  }
  line.write();
  // The instruction runs again, and the signal ends the process now (SA_RESETHAND).
}

/// The uncaught exception, if there is one, and its text.
void report_uncaught() {
  Line line;
  line.add(kCrashed);
  const std::type_info* const type = abi::__cxa_current_exception_type();
  if (type == nullptr) {
    line.add("std::terminate");
  } else {
    line.add("an uncaught exception: ");
    int status = 0;
    const char* const name = abi::__cxa_demangle(type->name(), nullptr, nullptr, &status);
    line.add(name != nullptr ? name : type->name());
    try {
      throw;
    } catch (const std::exception& raised) {
      line.add(": ");
      line.add(raised.what());
    } catch (...) {  // of another class: its name is all there is
    }
  }
  line.write();
  std::_Exit(kBySignal + SIGABRT);
}

}  // namespace

void report_crashes() {
  // A stack that has overflowed has no room for the handler.
  constexpr size_t room = 64 << 10;
  void* const memory = ::mmap(nullptr, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const stack_t stack{memory, 0, room};
  const bool has_stack = memory != MAP_FAILED && ::sigaltstack(&stack, nullptr) == 0;
  struct sigaction action {};
  action.sa_sigaction = report;
  action.sa_flags = static_cast<int>(SA_SIGINFO | SA_RESETHAND | (has_stack ? SA_ONSTACK : 0));
  for (const auto& each : kSignals) ::sigaction(each.number, &action, nullptr);
  std::set_terminate(report_uncaught);
}

}  // namespace furnace::app

/// In the place of the C library's, which sends the signal by a call that a partition's policy does not
/// allow.
extern "C" [[noreturn]] void abort() noexcept {
  furnace::app::Line line;
  line.add(furnace::app::kCrashed);
  line.add("abort()");
  furnace::app::add_place(line, reinterpret_cast<uint64_t>(__builtin_return_address(0)));
  line.write();
  std::_Exit(furnace::app::kBySignal + SIGABRT);
}
