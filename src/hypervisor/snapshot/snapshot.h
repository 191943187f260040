// The snapshot driver: guest memory out of a file. Nothing runs, nothing can be written.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "hypervisor/hypervisor.h"
#include "hypervisor/snapshot/layout.h"

namespace furnace::hypervisor {

/// Guest memory in pieces of a file.
class SnapshotMemory : public guest::GuestMemory {
 public:
  SnapshotMemory(std::unique_ptr<ImageFile> file, std::vector<SnapshotPiece> pieces);

  using GuestMemory::read;
  [[nodiscard]] size_t read(guest::Gpa from, std::span<std::byte> out) const override;
  [[nodiscard]] size_t write(guest::Gpa, std::span<const std::byte>) override { return 0; }
  [[nodiscard]] bool writable() const override { return false; }
  [[nodiscard]] const std::vector<guest::GpaRange>& ranges() const override { return ranges_; }
  [[nodiscard]] std::vector<guest::GpaRange> used_ranges() const override;

 private:
  /// The range that holds an address of a piece.
  [[nodiscard]] const guest::GpaRange& range_of(guest::Gpa gpa) const;

  std::unique_ptr<ImageFile> file_;
  std::vector<SnapshotPiece> pieces_;
  std::vector<guest::GpaRange> ranges_;
};

class Snapshot : public Hypervisor {
 public:
  /// Opens raw, LiME, ELF core and kdump-compressed files, each plain or (but kdump) as seekable zstd. The
  /// error names the file and what is wrong with it. `scratch`: see attach().
  [[nodiscard]] static Result<std::unique_ptr<Hypervisor>> open(const std::filesystem::path& file,
                                                                Fd scratch = {});
  /// The same of a file that is open; `path` is for errors, and names the VM.
  [[nodiscard]] static Result<std::unique_ptr<Hypervisor>> open(Fd file, const std::filesystem::path& path,
                                                                Fd scratch);

  [[nodiscard]] std::string name() const override { return name_; }
  [[nodiscard]] uint32_t id() const override { return 0; }
  [[nodiscard]] AccessMode access_mode() const override { return AccessMode::File; }
  [[nodiscard]] guest::GuestMemory& memory() override { return *memory_; }
  [[nodiscard]] uint64_t memory_size() const override;
  [[nodiscard]] uint32_t vcpus() const override { return static_cast<uint32_t>(vcpus_.size()); }
  [[nodiscard]] Result<std::optional<Registers>> registers(uint32_t vcpu) override;
  // A snapshot does not change anyway.
  [[nodiscard]] Status pause() override { return {}; }
  [[nodiscard]] Status resume() override { return {}; }
  [[nodiscard]] RunState state() const override { return RunState::Paused; }

 private:
  [[nodiscard]] static Result<std::unique_ptr<Hypervisor>> open(std::unique_ptr<ImageFile> file,
                                                                const std::filesystem::path& path,
                                                                Fd scratch);
  Snapshot(std::string name, std::unique_ptr<guest::GuestMemory> memory, std::vector<Registers> vcpus)
      : name_(std::move(name)), memory_(std::move(memory)), vcpus_(std::move(vcpus)) {}

  std::string name_;
  std::unique_ptr<guest::GuestMemory> memory_;
  std::vector<Registers> vcpus_;
};

}  // namespace furnace::hypervisor
