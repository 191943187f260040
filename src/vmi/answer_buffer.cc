#include "vmi/answer_buffer.h"

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
constexpr size_t kCopied = 32 << 10;  // answers up to this size are copied: cheaper than handing memory over

/// What ZeroMQ gives back when a message has left.
struct Sent {
  std::shared_ptr<BufferPool> pool;
  BufferPool::Buffer buffer;
  Outstanding outstanding;
  size_t size;
};

void give_back(void*, void* hint) {
  const std::unique_ptr<Sent> sent(static_cast<Sent*>(hint));
  sent->outstanding->fetch_sub(sent->size);
  sent->pool->put(std::move(sent->buffer));
}

}  // namespace

BufferPool::Buffer BufferPool::get(size_t capacity) {
  {
    const std::lock_guard lock(mutex_);
    if (kept_.capacity >= capacity) return std::exchange(kept_, {});
  }
  Buffer buffer{std::unique_ptr<std::byte, Free>(static_cast<std::byte*>(std::malloc(capacity))), capacity};
  if (!buffer.memory) throw std::bad_alloc();
  return buffer;
}

void BufferPool::put(Buffer buffer) {
  if (buffer.capacity > kKept) return;
  const std::lock_guard lock(mutex_);
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

zmq::message_t AnswerBuffer::take(const Outstanding& outstanding) {
  const size_t size = std::exchange(size_, 0);
  if (size <= kCopied) return zmq::message_t(buffer_.memory.get(), size);
  outstanding->fetch_add(size);
  std::byte* memory = buffer_.memory.get();
  auto sent = std::make_unique<Sent>(Sent{pool_, std::exchange(buffer_, {}), outstanding, size});
  return zmq::message_t(memory, size, give_back, sent.release());
}

}  // namespace furnace::vmi
