#include "hypervisor/snapshot/kdump.h"

#include <fcntl.h>
#include <libkdumpfile/kdumpfile.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>

#include "base/bytes.h"
#include "base/file.h"

namespace furnace::hypervisor {
namespace {

using guest::Gpa;
using guest::GpaRange;
using guest::kPageSize;

constexpr std::string_view kFlattened = "makedumpfile";

// What goes over the socket: from the child first a Hello, then a text (what is wrong) or ranges; then an
// answer's size and bytes for each Request.
struct Hello {
  uint64_t error_size, ranges;
};
struct Request {
  uint64_t gpa, size;
};
constexpr uint64_t kMaxRanges = 1 << 20;
constexpr uint64_t kMaxError = 4096;
constexpr size_t kMaxRead = 1 << 20;

bool send_all(int socket, const void* data, size_t size) {
  const auto* bytes = static_cast<const std::byte*>(data);
  while (size != 0) {
    const ssize_t put = ::send(socket, bytes, size, MSG_NOSIGNAL);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return false;
    bytes += put;
    size -= static_cast<size_t>(put);
  }
  return true;
}

bool receive_all(int socket, void* data, size_t size) {
  auto* bytes = static_cast<std::byte*>(data);
  while (size != 0) {
    const ssize_t got = ::recv(socket, bytes, size, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    bytes += got;
    size -= static_cast<size_t>(got);
  }
  return true;
}

uint64_t big_endian(std::span<const std::byte> bytes, size_t offset) {
  return __builtin_bswap64(load<uint64_t>(bytes, offset).value_or(0));
}

Status put(const Fd& to, std::span<const std::byte> bytes, uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(to.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written <= 0) return fail_errno("temporary file for the rearranged dump");
    offset += static_cast<uint64_t>(written);
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return {};
}

/// QEMU writes dumps so that they can go through a pipe: pieces with the place where they belong
/// (makedumpfile(8), -F). The library reads them rearranged, as `makedumpfile -R` does it.
Result<Fd> rearrange(const ImageFile& file, Fd out) {
  constexpr uint64_t header = 4096, max_offset = 1ULL << 44;
  constexpr size_t record = 16;
  if (!out.valid()) {
    FURNACE_TRY(out, temporary_file());
  }
  std::vector<std::byte> buffer(1 << 20);
  for (uint64_t at = header;;) {
    std::array<std::byte, record> head;
    if (file.read(at, head) != record) return fail(Errc::Invalid, "kdump, flattened: truncated at {:#x}", at);
    uint64_t offset = big_endian(head, 0);
    uint64_t left = big_endian(head, 8);
    if (offset == UINT64_MAX) return out;  // the mark of the end
    at += record;
    if (offset > max_offset || left > file.size() - at)
      return fail(Errc::Invalid, "kdump, flattened: truncated or damaged at {:#x}", at);
    while (left != 0) {
      const auto piece = std::span(buffer).first(std::min<uint64_t>(buffer.size(), left));
      if (file.read(at, piece) != piece.size())
        return fail(Errc::Invalid, "kdump, flattened: can't be read at {:#x}", at);
      FURNACE_CHECK(put(out, piece, offset));
      at += piece.size();
      offset += piece.size();
      left -= piece.size();
    }
  }
}

/// What runs in the child: the library over one file.
class Child {
 public:
  Child(const ImageFile& file, int socket, Fd scratch)
      : file_(file), socket_(socket), rearranged_(std::move(scratch)) {}

  void run() {
    std::vector<GpaRange> ranges;
    const Status opened = open(ranges);
    const std::string error = opened ? "" : opened.error().message().substr(0, kMaxError);
    const Hello hello{error.size(), ranges.size()};
    if (!send_all(socket_, &hello, sizeof hello) || !send_all(socket_, error.data(), error.size()) ||
        !send_all(socket_, ranges.data(), ranges.size() * sizeof(GpaRange)) || !opened)
      return;
    std::vector<std::byte> buffer(kMaxRead);
    for (Request request{}; receive_all(socket_, &request, sizeof request);) {
      size_t size = std::min<uint64_t>(request.size, buffer.size());
      if (kdump_read(context_, KDUMP_MACHPHYSADDR, request.gpa, buffer.data(), &size) != KDUMP_OK)
        kdump_clear_err(context_);
      const uint64_t got = size;
      if (!send_all(socket_, &got, sizeof got) || !send_all(socket_, buffer.data(), size)) return;
    }
  }

 private:
  Status open(std::vector<GpaRange>& ranges) {
    std::array<std::byte, kFlattened.size()> start;
    const bool flattened = file_.read(0, start) == start.size() && as_text(start) == kFlattened;
    if (flattened) {
      FURNACE_TRY(rearranged_, rearrange(file_, std::move(rearranged_)));
    }
    context_ = kdump_new();
    if (context_ == nullptr) return fail(Errc::Failed, "libkdumpfile: no memory");
    if (kdump_open_fd(context_, flattened ? rearranged_.get() : file_.descriptor()) != KDUMP_OK)
      return fail(Errc::Invalid, "kdump: {}", kdump_get_err(context_));
    return find_ranges(ranges);
  }

  /// Which pages the file holds: excluded ones (zeros, caches) read as missing.
  Status find_ranges(std::vector<GpaRange>& ranges) {
    kdump_attr_t attribute{};
    if (kdump_get_attr(context_, KDUMP_ATTR_FILE_PAGEMAP, &attribute) != KDUMP_OK ||
        attribute.type != KDUMP_BITMAP)
      return fail(Errc::Invalid, "kdump: no map of its pages: {}", kdump_get_err(context_));
    kdump_bmp_t* pages = attribute.val.bitmap;
    for (kdump_addr_t page = 0; ranges.size() < kMaxRanges && kdump_bmp_find_set(pages, &page) == KDUMP_OK;) {
      const kdump_addr_t start = page;
      if (kdump_bmp_find_clear(pages, &page) != KDUMP_OK) page = start + 1;
      ranges.push_back({Gpa{start * kPageSize}, Gpa{page * kPageSize}});
    }
    if (ranges.empty()) return fail(Errc::Invalid, "kdump: no pages in it");
    return {};
  }

  const ImageFile& file_;
  int socket_;
  Fd rearranged_;
  kdump_ctx_t* context_ = nullptr;
};

}  // namespace

Result<std::unique_ptr<KdumpMemory>> KdumpMemory::open(std::unique_ptr<ImageFile> file, Fd scratch) {
  if (file->descriptor() < 0)
    return fail(Errc::Invalid, "a kdump file inside zstd: unpack it first (zstd -d)");
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return fail_errno("socketpair");
  Fd ours(ends[0]);
  Fd theirs(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) return fail_errno("fork");
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ours.close();
    Child(*file, theirs.get(), std::move(scratch)).run();
    ::_exit(0);
  }
  theirs.close();
  std::unique_ptr<KdumpMemory> made(new KdumpMemory(std::move(ours)));
  FURNACE_CHECK(made->receive_ranges());
  return made;
}

Status KdumpMemory::receive_ranges() {
  Hello hello{};
  const auto damaged = [] {
    return fail(Errc::Invalid, "kdump: damaged: the library that reads it crashed");
  };
  if (!receive_all(socket_.get(), &hello, sizeof hello) || hello.error_size > kMaxError ||
      hello.ranges > kMaxRanges)
    return damaged();
  std::string error(hello.error_size, '\0');
  if (!receive_all(socket_.get(), error.data(), error.size())) return damaged();
  if (!error.empty()) return fail(Errc::Invalid, "{}", error);
  ranges_.resize(hello.ranges);
  if (!receive_all(socket_.get(), ranges_.data(), ranges_.size() * sizeof(GpaRange))) return damaged();
  // The child has read a hostile file: it is believed no more than that.
  constexpr uint64_t most = 1ULL << 52;  // physical addresses of x86-64 have 52 bits
  uint64_t before = 0;
  for (const GpaRange& range : ranges_) {
    if (range.start.value < before || range.end <= range.start || range.end.value > most)
      return fail(Errc::Invalid, "kdump: damaged: pages {:#x} to {:#x}", range.start.value, range.end.value);
    before = range.end.value;
  }
  return {};
}

size_t KdumpMemory::read(Gpa from, std::span<std::byte> out) const {
  size_t done = 0;
  while (done < out.size()) {
    const Request request{from.value + done, std::min(out.size() - done, kMaxRead)};
    uint64_t got = 0;
    if (!send_all(socket_.get(), &request, sizeof request) || !receive_all(socket_.get(), &got, sizeof got) ||
        got > request.size || !receive_all(socket_.get(), out.data() + done, got))
      break;  // the child has exited: what it read has to do
    done += got;
    if (got != request.size) break;
  }
  return done;
}

}  // namespace furnace::hypervisor
