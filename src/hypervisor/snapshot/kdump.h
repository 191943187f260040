// kdump-compressed dumps (dump-guest-memory -z, makedumpfile), read with libkdumpfile.
#pragma once

#include <memory>

#include "guest/memory.h"
#include "hypervisor/snapshot/image_file.h"

struct _kdump_ctx;

namespace furnace::hypervisor {

class KdumpMemory : public guest::GuestMemory {
 public:
  [[nodiscard]] static Result<std::unique_ptr<KdumpMemory>> open(std::unique_ptr<ImageFile> file);
  ~KdumpMemory() override;
  KdumpMemory(const KdumpMemory&) = delete;
  KdumpMemory& operator=(const KdumpMemory&) = delete;

  using GuestMemory::read;
  [[nodiscard]] size_t read(guest::Gpa from, std::span<std::byte> out) const override;
  [[nodiscard]] size_t write(guest::Gpa, std::span<const std::byte>) override { return 0; }
  [[nodiscard]] bool writable() const override { return false; }
  [[nodiscard]] const std::vector<guest::GpaRange>& ranges() const override { return ranges_; }

 private:
  explicit KdumpMemory(std::unique_ptr<ImageFile> file);
  [[nodiscard]] Status open_dump();
  [[nodiscard]] Status find_ranges();

  std::unique_ptr<ImageFile> file_;  // owns the descriptor that the library reads
  Fd rearranged_;
  _kdump_ctx* context_;
  std::vector<guest::GpaRange> ranges_;
};

}  // namespace furnace::hypervisor
