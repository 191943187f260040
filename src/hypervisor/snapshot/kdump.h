// kdump-compressed dumps (dump-guest-memory -z, makedumpfile), read with libkdumpfile.
//
// The library is not made for hostile files: a header of zeros is enough to crash it. So it runs in a child
// process that has nothing but the file and a socket to us, and a crash is an error like another.
#pragma once

#include <sys/types.h>

#include <memory>

#include "guest/memory.h"
#include "hypervisor/snapshot/image_file.h"

namespace furnace::hypervisor {

class KdumpMemory : public guest::GuestMemory {
 public:
  /// Forks the child: to be called before other threads run.
  [[nodiscard]] static Result<std::unique_ptr<KdumpMemory>> open(std::unique_ptr<ImageFile> file, Fd scratch);
  KdumpMemory(const KdumpMemory&) = delete;
  KdumpMemory& operator=(const KdumpMemory&) = delete;

  using GuestMemory::read;
  [[nodiscard]] size_t read(guest::Gpa from, std::span<std::byte> out) const override;
  [[nodiscard]] size_t write(guest::Gpa, std::span<const std::byte>) override { return 0; }
  [[nodiscard]] bool writable() const override { return false; }
  [[nodiscard]] const std::vector<guest::GpaRange>& ranges() const override { return ranges_; }

 private:
  explicit KdumpMemory(Fd socket) : socket_(std::move(socket)) {}
  [[nodiscard]] Status receive_ranges();

  Fd socket_;  ///< to the child, which ends when it is closed, and with us
  std::vector<guest::GpaRange> ranges_;
};

}  // namespace furnace::hypervisor
