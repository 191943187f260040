// The memory of a Xen domain, mapped piece by piece: a PV guest's, whose page tables hold machine frames, or
// that of a guest with its own physical address space (HVM, PVH).
#pragma once

#include <chrono>
#include <list>
#include <unordered_map>
#include <vector>

#include "guest/memory.h"
#include "hypervisor/covered_bytes.h"
#include "hypervisor/xen/domain.h"
#include "hypervisor/xen/foreign_memory.h"

namespace furnace::hypervisor {

/// The frames of a PV guest: which machine frame holds which of its own, and back.
class MachineFrames {
 public:
  static constexpr uint64_t kNone = ~0ULL;
  [[nodiscard]] static Result<MachineFrames> of(xc_interface& control, const Domain& domain);
  /// By frame, kNone for a hole.
  explicit MachineFrames(std::vector<uint64_t> machine);
  /// The same in a file, which is mapped: it takes none of a partition's memory.
  [[nodiscard]] static Result<MachineFrames> from_file(const Fd& file);

  /// The machine frame of a frame, kNone for a hole.
  [[nodiscard]] uint64_t machine(uint64_t frame) const;
  /// The frame that a machine frame holds, kNone if it is not the guest's.
  [[nodiscard]] uint64_t frame(uint64_t machine) const;
  MachineFrames(MachineFrames&&) noexcept = default;
  MachineFrames& operator=(MachineFrames&&) noexcept = default;

  [[nodiscard]] std::span<const uint64_t> all() const { return machine_; }

 private:
  MachineFrames() = default;
  void sort();

  std::vector<uint64_t> own_;
  Mapping mapped_;
  std::span<const uint64_t> machine_;  // one of those two
  std::vector<uint32_t> by_machine_;   // frames that are there, in the order of their machine frames
};

/// Where a domain has memory, as Xen's control reports it.
struct MemoryLayout {
  std::vector<guest::GpaRange> ranges;
  std::optional<MachineFrames> machine_frames;  ///< of a PV guest
  [[nodiscard]] static Result<MemoryLayout> of(xc_interface& control, const Domain& domain);
};

class DomainMemory : public guest::GuestMemory {
 public:
  DomainMemory(ForeignMemory memory, uint32_t domain, MemoryLayout layout)
      : memory_(std::move(memory)), domain_(domain), layout_(std::move(layout)) {}

  using GuestMemory::read;
  [[nodiscard]] size_t read(guest::Gpa from, std::span<std::byte> out) const override;
  [[nodiscard]] size_t write(guest::Gpa to, std::span<const std::byte> data) override;
  [[nodiscard]] const std::vector<guest::GpaRange>& ranges() const override { return layout_.ranges; }
  [[nodiscard]] const MemoryLayout& layout() const { return layout_; }
  [[nodiscard]] guest::Gpa from_table(guest::Gpa address) const override;

  [[nodiscard]] CoveredBytes& covered() { return covered_; }
  [[nodiscard]] const CoveredBytes& covered() const { return covered_; }

 private:
  /// A run of frames that are mapped together.
  struct Piece {
    ForeignPages pages;
    std::vector<bool> present;
    std::chrono::steady_clock::time_point since;
    std::list<uint64_t>::iterator use;
  };
  [[nodiscard]] const Piece* piece(uint64_t number) const;
  [[nodiscard]] uint64_t mapped_frame(uint64_t frame) const;

  ForeignMemory memory_;
  uint32_t domain_;
  MemoryLayout layout_;
  CoveredBytes covered_;
  mutable std::unordered_map<uint64_t, Piece> pieces_;
  mutable std::list<uint64_t> used_;  // pieces, the one that was used last in front
};

}  // namespace furnace::hypervisor
