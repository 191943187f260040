// Makes BTF blobs: types of other profile formats, and those of the simulator's kernel.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "guest/profile/btf_kinds.h"

namespace furnace::guest {

class BtfBuilder {
 public:
  enum class Record : uint32_t { Struct = btf::kStruct, Union = btf::kUnion };
  struct Member {
    std::string_view name;  ///< empty: anonymous
    uint32_t type;          ///< id
    uint64_t byte_offset;
    uint32_t bit = 0;       ///< of a bit field: its first bit, counted from byte_offset on
    uint32_t bit_size = 0;  ///< 0: not a bit field
  };

  /// Makes room for that many structures and the names of their members.
  void reserve(size_t records);

  /// An integer type; returns its id. Types of one form and name are made once.
  uint32_t add_int(std::string_view name, uint32_t bytes, bool is_signed = false);
  uint32_t add_enum(std::string_view name, uint32_t bytes);
  /// A pointer to `target` (0: to void).
  uint32_t add_pointer(uint32_t target);
  uint32_t add_array(uint32_t element, uint32_t count);

  /// The id of a structure that is defined later, so that others can refer to it.
  uint32_t declare_record();
  /// Gives a declared structure its content. Fails where BTF can't hold it.
  [[nodiscard]] Status define_record(uint32_t id, Record kind, std::string_view name, uint64_t bytes,
                                     const std::vector<Member>& members);
  /// Both at once, for types that are known to fit.
  uint32_t add_struct(std::string_view name, uint32_t bytes, const std::vector<Member>& members);

  [[nodiscard]] std::vector<std::byte> build() const;

 private:
  struct Type {
    uint32_t name = 0, info = 0, size = 0;
    size_t tail = 0;  ///< where its further words begin, in tails_
    size_t tail_words = 0;
  };
  uint32_t add_string(std::string_view text);
  uint32_t add(std::string_view name, uint32_t kind, uint32_t size,
               std::initializer_list<uint32_t> tail);  // of up to 3 words

  std::vector<Type> types_;
  std::vector<uint32_t> tails_;  // of all types: one allocation less for each
  std::string strings_{'\0'};
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  std::unordered_map<std::string, uint32_t, Hash, std::equal_to<>> known_strings_;
  std::map<std::array<uint32_t, 6>, uint32_t> known_types_;
};

}  // namespace furnace::guest
