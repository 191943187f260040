// Where guest memory is in a snapshot file: raw, LiME, or ELF core as QEMU's dump-guest-memory and
// `virsh dump --memory-only` write it, with or without paging.
#pragma once

#include <string>
#include <vector>

#include "guest/memory.h"
#include "hypervisor/hypervisor.h"
#include "hypervisor/snapshot/image_file.h"

namespace furnace::hypervisor {

/// A piece of guest memory; past `stored` bytes it is zeros.
struct SnapshotPiece {
  guest::GpaRange range;
  uint64_t offset = 0;  ///< in the file
  uint64_t stored = 0;
};

struct SnapshotLayout {
  std::string format;                 ///< "raw", "LiME", "ELF core"
  std::vector<SnapshotPiece> pieces;  ///< ascending, without overlap
  std::vector<Registers> vcpus;       ///< empty where the format has none
};

/// Recognizes the form by the first bytes. What a file promises beyond its end makes it invalid: it was cut
/// off.
[[nodiscard]] Result<SnapshotLayout> read_layout(const ImageFile& file);

/// Whether the file is a kdump-compressed one, which has a driver of its own.
[[nodiscard]] bool is_kdump(const ImageFile& file);
/// The same of the first kKdumpStart bytes of a file.
[[nodiscard]] bool is_kdump(std::string_view start);
inline constexpr size_t kKdumpStart = 12;

/// Sorts pieces and cuts off what an earlier one covers.
[[nodiscard]] std::vector<SnapshotPiece> without_overlap(std::vector<SnapshotPiece> pieces);

}  // namespace furnace::hypervisor
