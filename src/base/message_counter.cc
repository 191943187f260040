#include "base/message_counter.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>

namespace furnace {
namespace {

std::atomic_ref<uint64_t> number(std::span<std::byte> memory) {
  return std::atomic_ref<uint64_t>(*reinterpret_cast<uint64_t*>(memory.data()));  // NOLINT: pages are aligned
}

}  // namespace

Result<MessageCounter> MessageCounter::make() {
  MessageCounter made(Fd(::memfd_create("messages", MFD_CLOEXEC | MFD_ALLOW_SEALING)));
  const int file = made.file_.get();
  if (file < 0 || ::ftruncate(file, sizeof(uint64_t)) != 0 ||
      ::fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)  // NOLINT: variadic
    return fail_errno("counter of messages");
  FURNACE_CHECK(made.map());
  return made;
}

Result<MessageCounter> MessageCounter::open(int descriptor) {
  if (descriptor < 0) return MessageCounter();
  MessageCounter counter{Fd(descriptor)};
  FURNACE_CHECK(counter.map());
  return counter;
}

Status MessageCounter::map() {
  FURNACE_TRY(memory_, Mapping::whole_file(file_, true));
  if (memory_.bytes().size() < sizeof(uint64_t))
    return fail(Errc::Invalid, "counter of messages: an empty file");
  return {};
}

void MessageCounter::add() {
  if (const auto memory = memory_.writable_bytes(); !memory.empty())
    number(memory).fetch_add(1, std::memory_order_relaxed);
}

uint64_t MessageCounter::value() const {
  uint64_t value = 0;
  if (const auto memory = memory_.bytes(); !memory.empty())
    value = *reinterpret_cast<const volatile uint64_t*>(memory.data());  // NOLINT: pages are aligned
  return value;
}

Result<Fd> MessageCounter::duplicate() const {
  Fd copy(::fcntl(file_.get(), F_DUPFD_CLOEXEC, 3));  // NOLINT: variadic
  if (!copy.valid()) return fail_errno("counter of messages");
  return copy;
}

}  // namespace furnace
