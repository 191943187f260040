#include "hypervisor/snapshot/image_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/bytes.h"
#include "base/compression.h"
#include "base/file.h"
#include "hypervisor/snapshot/seekable_zstd.h"

namespace furnace::hypervisor {
namespace {

class PlainFile : public ImageFile {
 public:
  PlainFile(Fd fd, uint64_t size) : fd_(std::move(fd)), size_(size) {}

  [[nodiscard]] uint64_t size() const override { return size_; }
  [[nodiscard]] int descriptor() const override { return fd_.get(); }

  // pread rather than a mapping: a file that is cut off meanwhile gives short reads, not SIGBUS.
  [[nodiscard]] size_t read(uint64_t offset, std::span<std::byte> out) const override {
    size_t done = 0;
    while (done < out.size()) {
      const ssize_t got =
          ::pread(fd_.get(), out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) break;
      done += static_cast<size_t>(got);
    }
    return done;
  }

  [[nodiscard]] std::vector<FileRange> data_ranges() const override {
    std::vector<FileRange> ranges;
    constexpr size_t max_ranges = 1 << 16;  // of a file made of holes: the rest counts as data
    for (off_t at = 0; static_cast<uint64_t>(at) < size_;) {
      const off_t start = ::lseek(fd_.get(), at, SEEK_DATA);
      if (start < 0) break;  // ENXIO: a hole up to the end
      const off_t end =
          ranges.size() < max_ranges ? ::lseek(fd_.get(), start, SEEK_HOLE) : static_cast<off_t>(size_);
      ranges.push_back({static_cast<uint64_t>(start), end < 0 ? size_ : static_cast<uint64_t>(end)});
      at = static_cast<off_t>(ranges.back().end);
    }
    return ranges;
  }

 private:
  Fd fd_;
  uint64_t size_;
};

}  // namespace

Result<std::unique_ptr<ImageFile>> ImageFile::open(const std::filesystem::path& file) {
  FURNACE_TRY(Fd fd, open_to_read(file));
  return open(std::move(fd), file.string());
}

Result<std::unique_ptr<ImageFile>> ImageFile::open(Fd fd, const std::string& name) {
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) return fail_errno("{}", name);
  if (!S_ISREG(status.st_mode)) return fail(Errc::Invalid, "{}: not a regular file", name);
  if (status.st_size == 0) return fail(Errc::Invalid, "{}: empty", name);
  auto plain = std::make_unique<PlainFile>(std::move(fd), static_cast<uint64_t>(status.st_size));
  char start[6] = {};
  const size_t got = plain->read(0, std::as_writable_bytes(std::span(start)));
  switch (compression_of({start, got})) {
    case Compression::Zstd: {
      auto opened = SeekableZstd::open(std::move(plain));
      if (!opened) return fail(opened.error(), name);
      return std::unique_ptr<ImageFile>(*std::move(opened));
    }
    case Compression::Gzip:
    case Compression::Xz:
      return fail(Errc::Invalid,
                  "{}: compressed with gzip or xz, which can't be read at random places: unpack it first",
                  name);
    case Compression::None:
      break;
  }
  return std::unique_ptr<ImageFile>(std::move(plain));
}

}  // namespace furnace::hypervisor
