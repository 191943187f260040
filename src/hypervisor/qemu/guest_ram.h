// The RAM of a QEMU guest: mapped where QEMU shares it as a file or memfd, copied out of the process where it
// doesn't.
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "guest/memory.h"
#include "hypervisor/hypervisor.h"
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

/// Guest RAM that QEMU does not share: it is copied.
class CopiedRam {
 public:
  virtual ~CopiedRam() = default;
  /// Bytes copied: fewer than asked where it ends.
  [[nodiscard]] virtual size_t read(guest::Gpa from, std::span<std::byte> out) const = 0;
  [[nodiscard]] virtual size_t write(guest::Gpa to, std::span<const std::byte> data) = 0;
  /// See GuestMemory::forget_read.
  virtual void forget_read() const {}
};

/// A piece of RAM where it is in the QEMU process.
struct RamPlace {
  guest::GpaRange range;
  uint64_t host = 0;
};

/// Asks QEMU for them, ascending.
[[nodiscard]] Result<std::vector<RamPlace>> find_ram(Qmp& qmp);

/// Copies out of QEMU's memory, and from nowhere there but from the guest's RAM.
class ProcessRam : public CopiedRam {
 public:
  /// `memory` is /proc/PID/mem.
  ProcessRam(Fd memory, std::vector<RamPlace> places)
      : memory_(std::move(memory)), places_(std::move(places)) {}
  [[nodiscard]] size_t read(guest::Gpa from, std::span<std::byte> out) const override;
  [[nodiscard]] size_t write(guest::Gpa to, std::span<const std::byte> data) override;
  [[nodiscard]] int descriptor() const { return memory_.get(); }

 private:
  /// The address of `gpa` in QEMU, and how many of `size` bytes lie there.
  [[nodiscard]] std::optional<std::pair<uint64_t, size_t>> locate(guest::Gpa gpa, size_t size) const;

  Fd memory_;
  std::vector<RamPlace> places_;
};

class GuestRam : public guest::GuestMemory {
 public:
  /// Opens the memory of process `pid` where its guest's RAM is. Errc::Denied names what permission lacks.
  [[nodiscard]] static Result<GuestRam> open(std::span<const RamPlace> places, pid_t pid, const Fd& pidfd,
                                             RamAccess access);

  /// What it is made of, to be handed to another process.
  struct Parts {
    static constexpr size_t kNoFile = SIZE_MAX;
    struct Piece {
      guest::GpaRange range;
      size_t file = kNoFile;  ///< index in `files`, if it is mapped from one
      uint64_t offset = 0;    ///< in that file
    };
    std::vector<Piece> pieces;
    std::vector<Fd> files;
    std::unique_ptr<CopiedRam> copied;  ///< if not all is in files
    RamAccess access = RamAccess::Read;
  };
  [[nodiscard]] Parts take_apart() &&;
  [[nodiscard]] static Result<GuestRam> from(Parts parts);

  using GuestMemory::read;
  [[nodiscard]] size_t read(guest::Gpa from, std::span<std::byte> out) const override;
  [[nodiscard]] size_t write(guest::Gpa to, std::span<const std::byte> data) override;
  [[nodiscard]] bool writable() const override { return access_ == RamAccess::ReadWrite; }
  [[nodiscard]] const std::vector<guest::GpaRange>& ranges() const override { return ranges_; }
  [[nodiscard]] std::vector<guest::GpaRange> used_ranges() const override;
  void forget_read() const override;

  /// Whether all of it is mapped (else it is copied).
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
  [[nodiscard]] Status map(Segment& segment, pid_t pid, const Fd& pidfd);
  [[nodiscard]] Status copy_the_rest(pid_t pid);

  RamAccess access_ = RamAccess::Read;
  std::vector<Segment> segments_;
  std::vector<guest::GpaRange> ranges_;
  std::vector<File> files_;
  std::unique_ptr<CopiedRam> copied_;
};

}  // namespace furnace::hypervisor
