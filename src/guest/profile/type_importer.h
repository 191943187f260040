// Types named in a JSON profile made into BTF: structures may refer to each other before they are defined.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "guest/profile/btf_builder.h"

namespace furnace::guest {

class TypeImporter {
 public:
  /// Makes room for that many structures.
  void reserve(size_t records);
  /// Announces a structure, so that others can refer to it.
  void declare(std::string_view name);
  /// The id of an announced structure.
  [[nodiscard]] std::optional<uint32_t> find(std::string_view name) const;
  [[nodiscard]] Status define(std::string_view name, BtfBuilder::Record kind, uint64_t size,
                              const std::vector<BtfBuilder::Member>& members);
  /// A type of C by its name ("long unsigned int"), its size and sign by that name.
  [[nodiscard]] uint32_t base(std::string_view name);

  [[nodiscard]] BtfBuilder& builder() { return builder_; }

 private:
  BtfBuilder builder_;
  std::unordered_map<std::string_view, uint32_t> records_;  // names lie in the parsed document
};

}  // namespace furnace::guest
