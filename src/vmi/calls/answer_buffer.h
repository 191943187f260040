// The bytes of an answer while it is made, and their way to the socket without another copy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "zmtp/outgoing.h"

namespace furnace::vmi {

/// Memory of large answers that were sent, for the next ones: fresh pages cost more than the copy into them.
class BufferPool {
 public:
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };
  struct Buffer {
    std::unique_ptr<std::byte, Free> memory;
    size_t capacity = 0;
  };
  /// A buffer of at least `capacity` bytes. One that is too small is not kept beside it.
  [[nodiscard]] Buffer get(size_t capacity);
  /// Keeps one buffer of up to kKept bytes, frees others.
  void put(Buffer buffer);

 private:
  static constexpr size_t kKept = 8 << 20;
  Buffer kept_;
};

class AnswerBuffer {
 public:
  explicit AnswerBuffer(std::shared_ptr<BufferPool> pool) : pool_(std::move(pool)) {}

  [[nodiscard]] size_t size() const { return size_; }
  [[nodiscard]] std::span<const std::byte> bytes() const { return {buffer_.memory.get(), size_}; }
  void clear() { size_ = 0; }

  /// Room for `size` more bytes after those that are there. Valid until the next call.
  [[nodiscard]] uint8_t* room(size_t size);
  /// Takes the first `size` bytes of the room as content.
  void commit(size_t size) { size_ += size; }
  /// Content that was written, to be corrected.
  [[nodiscard]] uint8_t* at(size_t offset) {
    return reinterpret_cast<uint8_t*>(buffer_.memory.get()) + offset;
  }
  void truncate(size_t size) { size_ = size; }

  /// The content, to be sent; the buffer is empty then. It counts as outstanding until the kernel has it.
  [[nodiscard]] zmtp::Outgoing take(const zmtp::Count& outstanding);

 private:
  std::shared_ptr<BufferPool> pool_;
  BufferPool::Buffer buffer_;
  size_t size_ = 0;
};

}  // namespace furnace::vmi
