// The memory of a Xen domain, mapped piece by piece: a PV guest's, whose page tables hold machine frames, or
// that of a guest with its own physical address space (HVM, PVH).
#pragma once

#include <chrono>
#include <list>
#include <map>
#include <unordered_map>
#include <vector>

#include "guest/memory.h"
#include "hypervisor/xen/domain.h"

namespace furnace::hypervisor {

/// Memory that was mapped from elsewhere, given back when it goes.
class ForeignPages {
 public:
  ForeignPages() = default;
  ForeignPages(xenforeignmemory_handle& memory, void* address, size_t pages)
      : memory_(&memory), address_(static_cast<std::byte*>(address)), pages_(pages) {}
  ForeignPages(ForeignPages&& other) noexcept { *this = std::move(other); }
  ForeignPages& operator=(ForeignPages&& other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(address_, other.address_);
    std::swap(pages_, other.pages_);
    return *this;
  }
  ~ForeignPages() {
    if (address_ != nullptr) ::xenforeignmemory_unmap(memory_, address_, pages_);
  }
  [[nodiscard]] std::byte* at(size_t offset) const { return address_ + offset; }

 private:
  xenforeignmemory_handle* memory_ = nullptr;
  std::byte* address_ = nullptr;
  size_t pages_ = 0;
};

/// The frames of a PV guest: which machine frame holds which of its own, and back.
class MachineFrames {
 public:
  static constexpr uint64_t kNone = ~0ULL;
  [[nodiscard]] static Result<MachineFrames> of(xc_interface& control, const Domain& domain);

  /// The machine frame of a frame, kNone for a hole.
  [[nodiscard]] uint64_t machine(uint64_t frame) const;
  /// The frame that a machine frame holds, kNone if it is not the guest's.
  [[nodiscard]] uint64_t frame(uint64_t machine) const;
  [[nodiscard]] uint64_t count() const { return machine_.size(); }

 private:
  std::vector<uint64_t> machine_;
  std::unordered_map<uint64_t, uint64_t> frame_;
};

class DomainMemory : public guest::GuestMemory {
 public:
  [[nodiscard]] static Result<std::unique_ptr<DomainMemory>> open(xc_interface& control,
                                                                  const Domain& domain);

  using GuestMemory::read;
  [[nodiscard]] size_t read(guest::Gpa from, std::span<std::byte> out) const override;
  [[nodiscard]] size_t write(guest::Gpa to, std::span<const std::byte> data) override;
  [[nodiscard]] const std::vector<guest::GpaRange>& ranges() const override { return ranges_; }
  [[nodiscard]] guest::Gpa from_table(guest::Gpa address) const override;

  /// What is read in place of a breakpoint's byte: what was there. nullopt: nothing any more.
  void cover(guest::Gpa at, std::optional<std::byte> original);

 private:
  DomainMemory(XenForeignMemory memory, uint32_t domain) : memory_(std::move(memory)), domain_(domain) {}

  /// A run of frames that are mapped together.
  struct Piece {
    ForeignPages pages;
    std::vector<bool> present;
    std::chrono::steady_clock::time_point since;
    std::list<uint64_t>::iterator use;
  };
  [[nodiscard]] Status find_ranges(xc_interface& control, const Domain& domain);
  [[nodiscard]] const Piece* piece(uint64_t number) const;
  [[nodiscard]] uint64_t mapped_frame(uint64_t frame) const;
  void uncover(guest::Gpa from, std::span<std::byte> out) const;

  XenForeignMemory memory_;
  uint32_t domain_;
  std::optional<MachineFrames> machine_frames_;  // of a PV guest
  std::vector<guest::GpaRange> ranges_;
  std::map<uint64_t, std::byte> covered_;  // by address
  mutable std::unordered_map<uint64_t, Piece> pieces_;
  mutable std::list<uint64_t> used_;  // pieces, the one that was used last in front
};

}  // namespace furnace::hypervisor
