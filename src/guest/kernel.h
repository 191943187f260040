// A kernel running in a guest: its profile, where it is, and the page table that maps it.
#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include "base/result.h"
#include "guest/address_space.h"
#include "guest/profile/profile.h"

namespace furnace::guest {

/// Where a kernel image is.
struct Placement {
  Gva text;         ///< runtime address of _text, virtual KASLR applied
  Gpa text_gpa;     ///< where that byte is in physical memory
  PageTable table;  ///< the kernel's own root table, init_top_pgt
};

class Kernel {
 public:
  Kernel(std::shared_ptr<const Profile> profile, Placement placement)
      : profile_(std::move(profile)), placement_(placement) {}

  /// A symbol's runtime address (a per-CPU symbol's offset in the per-CPU area).
  [[nodiscard]] Result<Gva> symbol(std::string_view name) const;

  /// Bytes from a function's address to the next symbol of the kernel's text.
  [[nodiscard]] size_t size_of_function(Gva function) const;

  /// Byte offset of a member of a kernel structure.
  [[nodiscard]] Result<uint64_t> member(std::string_view structure, std::string_view path) const;

  /// The physical address of a symbol of the image itself, without a page walk: the image is contiguous.
  [[nodiscard]] std::optional<Gpa> image_gpa(std::string_view name) const;

  [[nodiscard]] const Profile& profile() const { return *profile_; }
  [[nodiscard]] std::shared_ptr<const Profile> shared_profile() const { return profile_; }
  [[nodiscard]] const Placement& placement() const { return placement_; }

 private:
  std::shared_ptr<const Profile> profile_;
  Placement placement_;
};

}  // namespace furnace::guest
