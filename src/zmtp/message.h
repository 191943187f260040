// Messages as they arrive, and what is counted of them.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace furnace::zmtp {

/// A count of bytes that many hold a part of.
using Count = std::shared_ptr<size_t>;

/// A part of a count; it is taken off with its owner.
class Held {
 public:
  Held() = default;
  Held(Count count, size_t bytes) : count_(std::move(count)), bytes_(bytes) { *count_ += bytes_; }
  Held(Held&& other) noexcept : count_(std::move(other.count_)), bytes_(std::exchange(other.bytes_, 0)) {}
  Held& operator=(Held&& other) noexcept {
    std::swap(count_, other.count_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Held() {
    if (count_) *count_ -= bytes_;
  }
  [[nodiscard]] size_t bytes() const { return bytes_; }
  void add(size_t bytes) {
    *count_ += bytes;
    bytes_ += bytes;
  }

 private:
  Count count_;
  size_t bytes_ = 0;
};

/// One frame's content. Its memory is not touched before its bytes come.
class Part {
 public:
  Part() = default;
  explicit Part(size_t size) : memory_(new std::byte[size]), size_(size) {}

  [[nodiscard]] std::span<std::byte> bytes() { return {memory_.get(), size_}; }
  [[nodiscard]] std::span<const std::byte> bytes() const { return {memory_.get(), size_}; }
  [[nodiscard]] size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }

 private:
  std::unique_ptr<std::byte[]> memory_;
  size_t size_ = 0;
};

struct Message {
  std::vector<Part> parts;
  size_t left_out = 0;          ///< parts after the last that is kept
  std::vector<Held> held = {};  ///< what it takes of whose memory, until it is destroyed
};

}  // namespace furnace::zmtp
