#include "hypervisor/qemu/guest_ram.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"

namespace furnace::hypervisor {
namespace {

using guest::Gpa;
using guest::GpaRange;

/// The hexadecimal digits that a text begins with.
std::optional<uint64_t> hex(std::string_view text) {
  return take_number<uint64_t>(text, 16);
}

/// "  0000000000100000-000000000fffffff (prio 0, ram): mem @0000000000100000 KVM"
std::optional<RamPiece> parse_flat_line(std::string_view line) {
  while (line.ends_with('\r')) line.remove_suffix(1);
  const size_t first = line.find_first_not_of(' ');
  const size_t dash = line.find('-');
  const size_t colon = line.find("): ");
  if (first == std::string_view::npos || dash == std::string_view::npos || colon == std::string_view::npos)
    return {};
  const std::string_view attributes = line.substr(0, colon);
  if (!attributes.ends_with(", ram") && !attributes.ends_with(", rom")) return {};
  const auto start = hex(line.substr(first, dash - first));
  const auto last = hex(line.substr(dash + 1, 16));
  if (!start || !last || *last < *start || *last == UINT64_MAX) return {};
  std::string_view rest = line.substr(colon + 3);
  RamPiece piece{{Gpa{*start}, Gpa{*last + 1}}, std::string(rest.substr(0, rest.find(' '))), 0};
  if (const size_t at = rest.find('@'); at != std::string_view::npos)
    piece.offset = hex(rest.substr(at + 1)).value_or(0);
  return piece;
}

/// A mapping of a process, as a line of /proc/PID/maps shows it.
struct ProcessMapping {
  uint64_t start = 0, end = 0, offset = 0, inode = 0;
  unsigned major = 0, minor = 0;
  bool shared = false, writable = false;
};

std::optional<ProcessMapping> find_process_mapping(std::string_view maps, uint64_t address) {
  for (const std::string_view each : lines(maps)) {
    const std::string line(each);
    ProcessMapping mapping;
    char rights[5] = {};
    if (std::sscanf(line.c_str(), "%lx-%lx %4s %lx %x:%x %lu", &mapping.start, &mapping.end, rights,
                    &mapping.offset, &mapping.major, &mapping.minor, &mapping.inode) != 7)
      continue;
    mapping.shared = rights[3] == 's' && mapping.inode != 0;
    mapping.writable = rights[1] == 'w';
    if (address >= mapping.start && address < mapping.end) return mapping;
  }
  return std::nullopt;
}

Result<uint64_t> host_address(Qmp& qmp, Gpa gpa) {
  FURNACE_TRY(const std::string text, qmp.human(fmt::format("gpa2hva {:#x}", gpa.value)));
  const size_t at = text.rfind(" is 0x");
  const auto address =
      at == std::string::npos ? std::nullopt : hex(std::string_view(text).substr(at + std::strlen(" is 0x")));
  if (!address)
    return fail(Errc::Failed, "QEMU does not say where guest address {:#x} is: '{}'", gpa.value, text);
  return *address;
}

/// A descriptor of the file that is mapped there, made from one that the process has: not with more rights
/// than that one has, and of no other file.
Result<Fd> open_as_owner(pid_t pid, const Fd& pidfd, const ProcessMapping& mapping, RamAccess access) {
  const auto is_it = [&](const struct stat& info) {
    return S_ISREG(info.st_mode) && info.st_ino == mapping.inode &&
           info.st_dev == makedev(mapping.major, mapping.minor);
  };
  const int wanted = access == RamAccess::ReadWrite ? O_RDWR : O_RDONLY;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(fmt::format("/proc/{}/fd", pid), ignored)) {
    struct stat info {};
    if (::stat(entry.path().c_str(), &info) != 0 || !is_it(info)) continue;
    const auto number = parse_number<int>(entry.path().filename().native());
    if (!number) continue;
    const Fd theirs(static_cast<int>(::syscall(SYS_pidfd_getfd, pidfd.get(), *number, 0)));
    if (!theirs.valid()) return fail_errno("descriptor {} of process {}", *number, pid);
    const int flags = ::fcntl(theirs.get(), F_GETFL);  // NOLINT: variadic
    const bool has_rights =
        (flags & O_PATH) == 0 && ((flags & O_ACCMODE) == O_RDWR || (flags & O_ACCMODE) == wanted);
    if (::fstat(theirs.get(), &info) != 0 || !is_it(info) || !has_rights) continue;
    return open_file(fmt::format("/proc/self/fd/{}", theirs.get()), wanted);
  }
  return fail(Errc::Denied, "process {} has no descriptor of the guest's RAM file that is open for {}", pid,
              access == RamAccess::ReadWrite ? "reading and writing" : "reading");
}

std::vector<std::string> memory_backends(Qmp& qmp) {
  std::vector<std::string> names;
  const auto answer = qmp.command("query-memdev");
  if (!answer) return names;
  const auto devices = nlohmann::json::parse(*answer, nullptr, false);
  if (!devices.is_array()) return names;
  for (const auto& device : devices)
    if (device.is_object() && device.contains("id") && device["id"].is_string())
      names.push_back(device["id"]);
  return names;
}

/// Checks that what QEMU says of its RAM in two ways agrees: a piece that is not seen would be missing in
/// lists and snapshots without a word.
Status check_complete(Qmp& qmp, const std::vector<RamPiece>& pieces) {
  const auto answer = qmp.command("query-memory-size-summary");
  if (!answer) return {};  // QEMU before 2.11
  const auto summary = nlohmann::json::parse(*answer, nullptr, false);
  const auto number = [&](const char* key) -> uint64_t {
    const bool is_there = summary.is_object() && summary.contains(key) && summary[key].is_number_unsigned();
    return is_there ? summary[key].get<uint64_t>() : 0;
  };
  const uint64_t size = number("base-memory") + number("plugged-memory");
  uint64_t seen = 0;
  for (const RamPiece& piece : pieces) seen += piece.range.size();
  constexpr uint64_t hidden = 4 << 20;  // by the firmware and the video card's memory
  if (seen + hidden >= size) return {};
  return fail(Errc::Failed, "QEMU's guest has {} MB of RAM, of which `info mtree -f` shows only {} MB",
              size >> 20, seen >> 20);
}

}  // namespace

std::vector<RamPiece> parse_flat_view(std::string_view text, const std::vector<std::string>& backends) {
  // The view whose root is the system bus; others (I/O ports, PCI) don't show what the vCPUs see.
  const size_t view = text.find("Root memory region: system");
  if (view == std::string_view::npos) return {};
  text.remove_prefix(view);
  text = text.substr(0, text.find("FlatView"));
  std::vector<RamPiece> pieces;
  for (const std::string_view line : lines(text))
    if (auto piece = parse_flat_line(line)) pieces.push_back(*std::move(piece));
  if (pieces.empty() || pieces.front().range.start != Gpa{0}) return {};
  const std::string main = pieces.front().region;
  // A region has the name of its backend, or in old machine types the whole path of that object.
  const auto is_of = [](const RamPiece& piece, const std::string& backend) {
    return piece.region == backend || piece.region == "/objects/" + backend;
  };
  std::erase_if(pieces, [&](const RamPiece& piece) {
    return piece.region != main && std::none_of(backends.begin(), backends.end(),
                                                [&](const auto& backend) { return is_of(piece, backend); });
  });
  return pieces;
}

std::optional<std::pair<uint64_t, size_t>> ProcessRam::locate(Gpa gpa, size_t size) const {
  for (const RamPlace& place : places_)
    if (gpa >= place.range.start && gpa < place.range.end)
      return std::pair(place.host + (gpa.value - place.range.start.value),
                       static_cast<size_t>(std::min<uint64_t>(size, place.range.end.value - gpa.value)));
  return std::nullopt;
}

size_t ProcessRam::read(Gpa from, std::span<std::byte> out) const {
  size_t done = 0;
  while (done < out.size()) {
    const auto place = locate(from + done, out.size() - done);
    if (!place) break;
    const ssize_t got =
        ::pread(memory_.get(), out.data() + done, place->second, static_cast<off_t>(place->first));
    if (got <= 0) break;
    done += static_cast<size_t>(got);
  }
  return done;
}

size_t ProcessRam::write(Gpa to, std::span<const std::byte> data) {
  size_t done = 0;
  while (done < data.size()) {
    const auto place = locate(to + done, data.size() - done);
    if (!place) break;
    const ssize_t put =
        ::pwrite(memory_.get(), data.data() + done, place->second, static_cast<off_t>(place->first));
    if (put <= 0) break;
    done += static_cast<size_t>(put);
  }
  return done;
}

Result<std::vector<RamPlace>> find_ram(Qmp& qmp) {
  FURNACE_TRY(const std::string view, qmp.human("info mtree -f"));
  const std::vector<RamPiece> pieces = parse_flat_view(view, memory_backends(qmp));
  if (pieces.empty()) return fail(Errc::Failed, "QEMU's `info mtree -f` shows no RAM at address 0");
  FURNACE_CHECK(check_complete(qmp, pieces));
  std::vector<RamPlace> places;
  for (const RamPiece& piece : pieces) {
    FURNACE_TRY(const uint64_t host, host_address(qmp, piece.range.start));
    // Pieces that only differ in kind (BIOS shadow areas) are one.
    if (!places.empty() && places.back().range.end == piece.range.start &&
        places.back().host + places.back().range.size() == host)
      places.back().range.end = piece.range.end;
    else
      places.push_back({piece.range, host});
  }
  return places;
}

Result<GuestRam> GuestRam::open(std::span<const RamPlace> places, pid_t pid, const Fd& pidfd,
                                RamAccess access) {
  GuestRam ram;
  ram.access_ = access;
  for (const RamPlace& place : places) {
    Segment segment{.range = place.range, .host = place.host};
    if (auto mapped = ram.map(segment, pid, pidfd); !mapped)
      log::debug("guest RAM is copied, not mapped: {}", mapped.error().message());
    ram.ranges_.push_back(segment.range);
    ram.segments_.push_back(segment);
  }
  FURNACE_CHECK(ram.copy_the_rest(pid));
  return ram;
}

Status GuestRam::copy_the_rest(pid_t pid) {
  std::vector<RamPlace> places;
  for (const Segment& segment : segments_)
    if (segment.mapping == nullptr) places.push_back({segment.range, segment.host});
  if (places.empty()) return {};
  auto memory =
      open_file(fmt::format("/proc/{}/mem", pid), access_ == RamAccess::ReadWrite ? O_RDWR : O_RDONLY);
  if (!memory)
    return fail(memory.error(), "memory of the QEMU process (run as the user QEMU runs as, or as root)");
  copied_ = std::make_unique<ProcessRam>(*std::move(memory), std::move(places));
  return {};
}

Status GuestRam::map(Segment& segment, pid_t pid, const Fd& pidfd) {
  FURNACE_TRY(const std::string maps, read_file(fmt::format("/proc/{}/maps", pid)));
  const auto mapping = find_process_mapping(maps, segment.host);
  if (!mapping || !mapping->shared || !mapping->writable)
    return fail(Errc::Unavailable,
                "guest RAM is private to the QEMU process (no memory-backend-file with share=on)");
  segment.file_offset = mapping->offset + (segment.host - mapping->start);
  if (mapping->end - segment.host < segment.range.size())
    return fail(Errc::Unavailable, "guest RAM is mapped in several pieces");

  const uint64_t device = makedev(mapping->major, mapping->minor);
  size_t file = 0;
  while (file < files_.size() && (files_[file].inode != mapping->inode || files_[file].device != device))
    ++file;
  if (file == files_.size()) {
    // By its descriptor in QEMU, which works for unlinked files and memfds too and needs no path of ours.
    FURNACE_TRY(Fd fd, open_as_owner(pid, pidfd, *mapping, access_));
    FURNACE_TRY(Mapping mapped, Mapping::whole_file(fd, access_ == RamAccess::ReadWrite));
    files_.push_back({std::move(fd), std::move(mapped), mapping->inode, device});
  }
  if (files_[file].mapping.bytes().size() < segment.file_offset + segment.range.size())
    return fail(Errc::Invalid, "the guest's RAM file is shorter than its RAM");
  segment.file = file;
  segment.mapping = files_[file].mapping.writable_bytes().data() + segment.file_offset;
  return {};
}

GuestRam::Parts GuestRam::take_apart() && {
  Parts parts;
  for (const Segment& segment : segments_)
    parts.pieces.push_back(
        {segment.range, segment.mapping != nullptr ? segment.file : Parts::kNoFile, segment.file_offset});
  for (File& file : files_) parts.files.push_back(std::move(file.fd));
  parts.copied = std::move(copied_);
  parts.access = access_;
  return parts;
}

Result<GuestRam> GuestRam::from(Parts parts) {
  GuestRam ram;
  ram.access_ = parts.access;
  for (Fd& fd : parts.files) {
    FURNACE_TRY(Mapping mapped, Mapping::whole_file(fd, parts.access == RamAccess::ReadWrite));
    ram.files_.push_back({std::move(fd), std::move(mapped), 0, 0});
  }
  for (const Parts::Piece& piece : parts.pieces) {
    Segment segment{.range = piece.range, .file_offset = piece.offset};
    if (piece.file != Parts::kNoFile) {
      const bool fits = piece.file < ram.files_.size() &&
                        piece.offset + piece.range.size() <= ram.files_[piece.file].mapping.bytes().size();
      if (!fits) return fail(Errc::Invalid, "guest RAM: a piece is outside of its file");
      segment.file = piece.file;
      segment.mapping = ram.files_[piece.file].mapping.writable_bytes().data() + piece.offset;
    }
    ram.ranges_.push_back(piece.range);
    ram.segments_.push_back(segment);
  }
  ram.copied_ = std::move(parts.copied);
  return ram;
}

const GuestRam::Segment* GuestRam::segment(Gpa gpa) const {
  for (const Segment& segment : segments_)
    if (gpa >= segment.range.start && gpa < segment.range.end) return &segment;
  return nullptr;
}

size_t GuestRam::read(Gpa from, std::span<std::byte> out) const {
  size_t done = 0;
  while (done < out.size()) {
    const Gpa at = from + done;
    const Segment* found = segment(at);
    if (found == nullptr) break;
    const uint64_t offset = at.value - found->range.start.value;
    const size_t piece = std::min<uint64_t>(out.size() - done, found->range.size() - offset);
    size_t got = piece;
    if (found->mapping != nullptr)
      std::memcpy(out.data() + done, found->mapping + offset, piece);
    else
      got = copied_ ? copied_->read(at, out.subspan(done, piece)) : 0;
    done += got;
    if (got != piece) break;
  }
  return done;
}

size_t GuestRam::write(Gpa to, std::span<const std::byte> data) {
  size_t done = 0;
  if (!writable()) return done;
  while (done < data.size()) {
    const Gpa at = to + done;
    const Segment* found = segment(at);
    if (found == nullptr) break;
    const uint64_t offset = at.value - found->range.start.value;
    const size_t piece = std::min<uint64_t>(data.size() - done, found->range.size() - offset);
    size_t put = piece;
    if (found->mapping != nullptr)
      std::memcpy(found->mapping + offset, data.data() + done, piece);
    else
      put = copied_ ? copied_->write(at, data.subspan(done, piece)) : 0;
    done += put;
    if (put != piece) break;
  }
  return done;
}

void GuestRam::forget_read() const {
  if (copied_) copied_->forget_read();
}

std::vector<GpaRange> GuestRam::used_ranges() const {
  std::vector<GpaRange> used;
  for (const Segment& segment : segments_) {
    if (segment.mapping == nullptr) {
      used.push_back(segment.range);
      continue;
    }
    // The file is sparse: pages the guest never touched are holes.
    const int fd = files_[segment.file].fd.get();
    const auto stop = static_cast<off_t>(segment.file_offset + segment.range.size());
    for (auto at = static_cast<off_t>(segment.file_offset); at < stop;) {
      const off_t data = ::lseek(fd, at, SEEK_DATA);
      if (data < 0 || data >= stop) break;
      const off_t hole = std::min(::lseek(fd, data, SEEK_HOLE), stop);
      const auto gpa = [&](off_t offset) {
        return segment.range.start + (static_cast<uint64_t>(offset) - segment.file_offset);
      };
      used.push_back({gpa(data), gpa(hole)});
      at = hole;
    }
  }
  return used;
}

bool GuestRam::mapped() const {
  return std::all_of(segments_.begin(), segments_.end(),
                     [](const Segment& segment) { return segment.mapping != nullptr; });
}

}  // namespace furnace::hypervisor
