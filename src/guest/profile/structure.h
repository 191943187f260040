// A structure's layout in full, for readers that decode memory themselves.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "guest/profile/btf.h"

namespace furnace::guest {

/// What kind of value a member holds; the numbers are on the wire (StructureMember.kind).
enum class ValueKind : uint32_t { Integer = 1, Pointer = 2, Structure = 3, Enumeration = 4, Other = 5 };

struct StructureMember {
  std::string name;
  uint64_t bit_offset = 0;
  uint32_t bit_size = 0;  ///< of a bit field, else 0
  ValueKind kind = ValueKind::Other;
  uint64_t size = 0;   ///< bytes of the value; of one element in an array
  uint64_t count = 0;  ///< elements of an array, all dimensions together; 0: not an array
  bool is_signed = false;
  std::string
      type;  ///< the type's name; of a pointer, that of what it points to; empty for void and nameless ones
};

struct Structure {
  uint64_t size = 0;
  std::vector<StructureMember> members;
};

/// The layout of structure `name`, members of anonymous members as its own.
[[nodiscard]] Result<Structure> describe_structure(const Btf& types, std::string_view name);

}  // namespace furnace::guest
