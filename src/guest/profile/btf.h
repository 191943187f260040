// Kernel types from a BTF blob (Linux: Documentation/bpf/btf.rst, include/uapi/linux/btf.h).
//
// The blob comes out of guest memory, so it is hostile: every offset, count and reference is checked when
// used, and chains of references are cut. A view into bytes that the profile owns; nothing is copied.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"

namespace furnace::guest {

class Btf {
 public:
  /// Where a member is in its structure.
  struct Member {
    uint64_t bit_offset = 0;
    uint32_t bit_size = 0;  ///< 0 unless it is a bit field
    uint32_t type = 0;      ///< the member's type id
    [[nodiscard]] uint64_t byte_offset() const { return bit_offset / 8; }
  };

  /// What a type is, its typedefs and qualifiers taken off.
  enum class Kind : uint8_t { Void, Int, Pointer, Array, Struct, Union, Enum, Function, Float, Other };
  struct Description {
    Kind kind = Kind::Void;
    uint32_t id = 0;         ///< of the type itself, after its typedefs
    std::string_view name;   ///< its own name; where it has none, that of the last typedef in front of it
    uint64_t size = 0;       ///< bytes
    uint32_t target = 0;     ///< of a pointer or an array: the type pointed to, the element's
    uint32_t count = 0;      ///< of an array
    bool is_signed = false;  ///< of an integer
  };

  /// An empty set of types.
  Btf() = default;

  /// Checks the header and the chain of types; `blob` must outlive the result.
  [[nodiscard]] static Result<Btf> parse(std::span<const std::byte> blob);

  /// The member `path` ("mm", "f_path.dentry") of the structure, union or typedef `structure`. Members of
  /// anonymous members are found by their own name.
  [[nodiscard]] Result<Member> member(std::string_view structure, std::string_view path) const;

  /// Size in bytes of a structure or union by name.
  [[nodiscard]] Result<uint64_t> size(std::string_view structure) const;

  [[nodiscard]] bool has_structure(std::string_view name) const { return structures_.contains(name); }

  /// A structure, union or typedef by name: its type id.
  [[nodiscard]] Result<uint32_t> find_structure(std::string_view name) const;
  /// The names that find_structure knows, sorted.
  [[nodiscard]] std::vector<std::string_view> structure_names() const;

  [[nodiscard]] Result<Description> describe(uint32_t id) const;

  /// Calls `visit` for every constant of an enumeration.
  void for_each_constant(uint32_t id,
                         const std::function<void(std::string_view name, int64_t value)>& visit) const;

  /// A constant of an enumeration by name; none: there is no such enumeration, or no such constant. Looks
  /// through all types.
  [[nodiscard]] std::optional<int64_t> constant(std::string_view enumeration, std::string_view name) const;

  /// Calls `visit` for every named member of a structure or union, those of anonymous members as its own, in
  /// order.
  Status for_each_member(uint32_t id,
                         const std::function<void(std::string_view name, const Member&)>& visit) const;

  [[nodiscard]] size_t type_count() const { return types_.size(); }

 private:
  struct Type {
    uint32_t id, kind, vlen, size_or_type;
    bool bit_fields;
    std::string_view name;
    std::span<const std::byte> tail;  // what follows the type's 12 bytes
  };
  [[nodiscard]] std::string_view string(uint32_t offset) const;
  [[nodiscard]] Result<Type> type(uint32_t id) const;
  [[nodiscard]] Result<Type> resolve(uint32_t id) const;
  /// `budget` is the number of members it may still read: anonymous members can nest without end.
  [[nodiscard]] bool find(const Type& structure, std::string_view name, int depth, int& budget,
                          Member& found) const;
  void visit_members(const Type& structure, uint64_t base, int depth, int& budget,
                     const std::function<void(std::string_view, const Member&)>& visit) const;
  [[nodiscard]] Result<uint64_t> size_of(const Type& type, int depth) const;

  std::span<const std::byte> type_section_;
  std::string_view strings_;
  std::vector<uint32_t> types_;  // id - 1 -> offset in the type section
  std::unordered_map<std::string_view, uint32_t> structures_;
};

}  // namespace furnace::guest
