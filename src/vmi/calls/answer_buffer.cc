#include "vmi/calls/answer_buffer.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#include "protocol/calls.h"

namespace furnace::vmi {
namespace {

constexpr size_t kSmallest = 16 << 10;
constexpr size_t kDoubledUpTo = 512 << 10;
constexpr size_t kLargest = protocol::kMaxAnswerSize;

/// What is given back when an answer has left.
struct Sent {
  std::shared_ptr<BufferPool> pool;
  BufferPool::Buffer buffer;
  zmtp::Held held;

  ~Sent() { pool->put(std::move(buffer)); }
};

}  // namespace

BufferPool::Buffer BufferPool::get(size_t capacity) {
  Buffer kept = std::exchange(kept_, {});
  if (kept.capacity >= capacity) return kept;
  kept = {};
  Buffer buffer{std::unique_ptr<std::byte, Free>(static_cast<std::byte*>(std::malloc(capacity))), capacity};
  if (!buffer.memory) throw std::bad_alloc();
  return buffer;
}

void BufferPool::put(Buffer buffer) {
  if (buffer.capacity > kKept) return;
  if (buffer.capacity > kept_.capacity) kept_ = std::move(buffer);
}

uint8_t* AnswerBuffer::room(size_t size) {
  if (size_ + size > buffer_.capacity) {
    // An answer of many large parts gets all the room at once that it may have: pages that are not touched
    // cost nothing, copying tens of megabytes would keep other apps waiting.
    const size_t doubled = buffer_.capacity < kDoubledUpTo ? 2 * buffer_.capacity : kLargest;
    BufferPool::Buffer larger = pool_->get(std::max({kSmallest, size_ + size, doubled}));
    if (size_ != 0) std::memcpy(larger.memory.get(), buffer_.memory.get(), size_);
    if (buffer_.memory) pool_->put(std::move(buffer_));
    buffer_ = std::move(larger);
  }
  return at(size_);
}

zmtp::Outgoing AnswerBuffer::take(const zmtp::Count& outstanding) {
  const auto content = bytes();
  const size_t size = std::exchange(size_, 0);
  return {content, std::shared_ptr<const Sent>(
                       new Sent{pool_, std::exchange(buffer_, {}), zmtp::Held(outstanding, size)})};
}

}  // namespace furnace::vmi
