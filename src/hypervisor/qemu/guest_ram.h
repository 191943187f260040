// The RAM of a QEMU guest: mapped where QEMU shares it as a file or memfd, copied out of the process where it
// doesn't.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "guest/memory.h"
#include "hypervisor/qemu/qmp.h"

namespace furnace::hypervisor {

/// A piece of guest RAM as QEMU's flat view of the system bus shows it (HMP `info mtree -f`).
struct RamPiece {
  guest::GpaRange range;
  std::string region;   ///< name of QEMU's memory region
  uint64_t offset = 0;  ///< of the piece in that region
};

/// The RAM pieces in the text of `info mtree -f`: those of the region at address 0 and of `backends`.
[[nodiscard]] std::vector<RamPiece> parse_flat_view(std::string_view text,
                                                    const std::vector<std::string>& backends);

class GuestRam : public guest::GuestMemory {
 public:
  /// Reads the layout through `qmp` and opens the memory of process `pid`. Errc::Denied names what permission
  /// lacks.
  [[nodiscard]] static Result<GuestRam> open(Qmp& qmp, pid_t pid);

  /// What it is made of, to be handed to another process.
  struct Parts {
    static constexpr size_t kNoFile = SIZE_MAX;
    struct Piece {
      guest::GpaRange range;
      uint64_t host = 0;      ///< address in the QEMU process
      size_t file = kNoFile;  ///< index in `files`, if it is mapped from one
      uint64_t offset = 0;    ///< in that file
    };
    std::vector<Piece> pieces;
    std::vector<Fd> files;
    Fd process_memory;  ///< of QEMU, if not all is in files
  };
  [[nodiscard]] Parts take_apart() &&;
  [[nodiscard]] static Result<GuestRam> from(Parts parts);

  using GuestMemory::read;
  [[nodiscard]] size_t read(guest::Gpa from, std::span<std::byte> out) const override;
  [[nodiscard]] size_t write(guest::Gpa to, std::span<const std::byte> data) override;
  [[nodiscard]] const std::vector<guest::GpaRange>& ranges() const override { return ranges_; }
  [[nodiscard]] std::vector<guest::GpaRange> used_ranges() const override;

  /// Whether all of it is mapped (else it is copied through /proc/PID/mem).
  [[nodiscard]] bool mapped() const;

 private:
  struct Segment {
    guest::GpaRange range;
    uint64_t host = 0;             ///< its address in the QEMU process
    std::byte* mapping = nullptr;  ///< its first byte in ours, if mapped
    size_t file = 0;               ///< index in files_, if mapped
    uint64_t file_offset = 0;
  };
  struct File {
    Fd fd;
    Mapping mapping;
    uint64_t inode = 0, device = 0;
  };

  [[nodiscard]] const Segment* segment(guest::Gpa gpa) const;
  [[nodiscard]] Status map(Segment& segment, pid_t pid);

  std::vector<Segment> segments_;
  std::vector<guest::GpaRange> ranges_;
  std::vector<File> files_;
  Fd process_memory_;
};

}  // namespace furnace::hypervisor
