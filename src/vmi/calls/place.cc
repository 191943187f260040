#include "vmi/calls/place.h"

#include "base/bytes.h"

namespace furnace::vmi {

using guest::Gpa;
using guest::Gva;

size_t Place::read(std::span<std::byte> out) const {
  return space_ ? space_->read(Gva{address_}, out) : memory_->read(Gpa{address_}, out);
}

size_t Place::write(std::span<const std::byte> data) const {
  return space_ ? space_->write(Gva{address_}, data) : memory_->write(Gpa{address_}, data);
}

Result<std::string> Place::read_string(size_t limit) const {
  if (space_) return space_->read_string(Gva{address_}, limit);
  std::string text(limit, '\0');
  text.resize(read(std::as_writable_bytes(std::span(text))));
  if (text.empty()) return tl::unexpected<Error>(why_short(1));
  return std::string(until_nul(text));
}

Place Place::after(size_t bytes) const {
  Place place = *this;
  place.address_ += bytes;
  return place;
}

std::string Place::note_on_write(size_t size) const {
  if (!space_) return {};
  for (uint64_t at = address_; at < address_ + size; at = (at | (guest::kPageSize - 1)) + 1) {
    const auto page = space_->translate(Gva{at});
    if (page && page->prot_none)
      return fmt::format("written though the guest has no access to page {:#x}", at);
    if (page && !page->writable)
      return fmt::format("written though page {:#x} is read-only for the guest", at);
  }
  return {};
}

Error Place::why_short(size_t size) const {
  if (space_) return space_->why_unreadable(Gva{address_}, size);
  return {Errc::Unmapped,
          fmt::format("physical address {:#x}: {} bytes are not all in the guest's RAM", address_, size)};
}

}  // namespace furnace::vmi
