#include "guest/address_space.h"

#include <algorithm>

#include "base/bytes.h"

namespace furnace::guest {
namespace {

/// The piece of [gva, gva + size) that is in gva's page.
size_t within_page(Gva gva, size_t size) {
  return std::min<size_t>(size, kPageSize - gva.value % kPageSize);
}

}  // namespace

WalkResult TranslationCache::translate(const GuestMemory& memory, PageTable table, Gva gva) {
  const uint64_t page = gva.value / kPageSize;
  Entry& entry = entries_[(page ^ (table.root.value / kPageSize)) % kEntries];
  if (entry.generation != generation_ || entry.page != page || entry.table != table) {
    const WalkResult walked = walk(memory, table, Gva{page * kPageSize});
    if (!walked) {
      PageFault fault = walked.error();
      fault.gva = gva;
      return tl::unexpected<PageFault>(fault);
    }
    entry = {generation_, table, page, *walked};
  }
  Translation translation = entry.translation;
  translation.gpa = translation.gpa + gva.value % kPageSize;
  return translation;
}

size_t AddressSpace::read(Gva from, std::span<std::byte> out) const {
  size_t done = 0;
  while (done < out.size()) {
    const Gva at = canonical(from + done, table_.levels);
    const auto translation = translate(at);
    if (!translation) break;
    const size_t piece = within_page(at, out.size() - done);
    const size_t got = memory_->read(translation->gpa, out.subspan(done, piece));
    done += got;
    if (got != piece) break;
  }
  return done;
}

size_t AddressSpace::write(Gva to, std::span<const std::byte> data) const {
  size_t done = 0;
  while (done < data.size()) {
    const Gva at = canonical(to + done, table_.levels);
    const auto translation = translate(at);
    if (!translation) break;
    const size_t piece = within_page(at, data.size() - done);
    const size_t put = memory_->write(translation->gpa, data.subspan(done, piece));
    done += put;
    if (put != piece) break;
  }
  return done;
}

Result<std::string> AddressSpace::read_string(Gva from, size_t limit) const {
  std::string text;
  std::array<char, 256> piece{};
  while (text.size() < limit) {
    const size_t wanted = std::min(piece.size(), limit - text.size());
    const size_t got = read(from + text.size(), std::as_writable_bytes(std::span(piece).first(wanted)));
    const std::string_view part = until_nul(std::string_view(piece.data(), got));
    text += part;
    if (part.size() < wanted) {
      if (got == 0 && text.empty()) return tl::unexpected<Error>(why_unreadable(from, 1));
      break;
    }
  }
  return text;
}

Error AddressSpace::why_unreadable(Gva from, size_t size) const {
  for (size_t offset = 0; offset < size; offset += within_page(from + offset, size)) {
    const auto translation = translate(from + offset);
    if (!translation) return {Errc::Unmapped, explain(translation.error())};
    if (!memory_->read<std::byte>(translation->gpa))
      return {Errc::Unmapped, fmt::format("virtual address {:#x} leads to {:#x}, outside the guest's RAM",
                                          (from + offset).value, translation->gpa.value)};
  }
  return {Errc::Unmapped, fmt::format("virtual address {:#x} changed while it was read", from.value)};
}

}  // namespace furnace::guest
