// Makes BTF blobs: types for the simulator's kernel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace furnace::guest {

class BtfBuilder {
 public:
  struct Member {
    std::string_view name;  ///< empty: anonymous
    uint32_t type;
    uint32_t byte_offset;
  };

  /// An unsigned integer type; returns its id.
  uint32_t add_int(std::string_view name, uint32_t bytes);
  /// A structure; returns its id.
  uint32_t add_struct(std::string_view name, uint32_t bytes, const std::vector<Member>& members);

  [[nodiscard]] std::vector<std::byte> build() const;

 private:
  uint32_t add_string(std::string_view text);
  void add_type(std::string_view name, uint32_t kind, uint32_t vlen, uint32_t size);
  void append(uint32_t value);

  std::vector<std::byte> types_;
  std::string strings_{'\0'};
  uint32_t count_ = 0;
};

}  // namespace furnace::guest
