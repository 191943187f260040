#include "hypervisor/xen/domain_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>

namespace furnace::hypervisor {
namespace {

constexpr uint64_t kFrames = 256;    // of a piece: 1 MB
constexpr size_t kMostPieces = 192;  // mapped at a time
// A guest may give a frame back to Xen (ballooning); what is mapped stays what it was. Nothing is older.
constexpr std::chrono::milliseconds kMaxAge(500);

/// How many frames a domain numbers, memory and holes. The guest decides it: a PV guest says so, others have
/// pages mapped where they like.
Result<uint64_t> frames_of(xc_interface& control, const Domain& domain) {
  xen_pfn_t count = 0;
  if (::xc_domain_nr_gpfns(&control, domain.id, &count) != 0)
    return fail_errno("domain {}: the size of its memory", domain.id);
  return count;
}

/// More than a guest of its size needs.
uint64_t most_frames(const Domain& domain) {
  constexpr uint64_t below_4g = 1ULL << 20, with_holes = 4;
  return domain.most_pages * with_holes + below_4g;
}

/// A guest can give every other page back. After this number of ranges the holes between are reported as
/// memory: what is not there reads as not there anyway.
constexpr size_t kMostRanges = 4096;

void append_page(std::vector<guest::GpaRange>& ranges, uint64_t frame) {
  const guest::Gpa at{frame * guest::kPageSize};
  if (!ranges.empty() && (ranges.back().end == at || ranges.size() == kMostRanges))
    ranges.back().end = at + guest::kPageSize;
  else
    ranges.push_back({at, at + guest::kPageSize});
}

Status find_own_frames(xc_interface& control, const Domain& domain, std::vector<guest::GpaRange>& ranges) {
  FURNACE_TRY(uint64_t count, frames_of(control, domain));
  count = std::min(count, most_frames(domain));
  std::array<xen_pfn_t, 1024> types{};  // the most that Xen takes at a time
  for (uint64_t from = 0; from < count; from += types.size()) {
    const uint64_t some = std::min<uint64_t>(types.size(), count - from);
    for (uint64_t i = 0; i < some; ++i) types[i] = from + i;
    if (::xc_get_pfn_type_batch(&control, domain.id, static_cast<unsigned>(some), types.data()) != 0)
      return fail_errno("domain {}: its memory", domain.id);
    for (uint64_t i = 0; i < some; ++i)
      if ((types[i] & XEN_DOMCTL_PFINFO_LTAB_MASK) != XEN_DOMCTL_PFINFO_XTAB) append_page(ranges, from + i);
  }
  return {};
}

}  // namespace

Result<MachineFrames> MachineFrames::of(xc_interface& control, const Domain& domain) {
  FURNACE_TRY(const uint64_t claimed, frames_of(control, domain));
  if (claimed > most_frames(domain))
    return fail(Errc::Invalid, "domain {} says it has {} frames; it can have {}", domain.id, claimed,
                most_frames(domain));
  xc_domain_meminfo info{};
  if (::xc_map_domain_meminfo(&control, domain.id, &info) != 0)
    return fail_errno("domain {}: its table of machine frames", domain.id);
  std::vector<uint64_t> frames;
  const uint64_t count = std::min<uint64_t>(info.p2m_size, claimed);
  frames.reserve(count);
  for (uint64_t frame = 0; frame < count; ++frame) {
    const uint64_t machine = info.p2m_table[frame];
    constexpr uint64_t foreign = 1ULL << 62;  // Linux: FOREIGN_FRAME_BIT, not this guest's own
    const bool own = machine != kNone && (machine & (foreign | (1ULL << 63))) == 0;
    frames.push_back(own ? machine : kNone);
  }
  ::xc_unmap_domain_meminfo(&control, &info);
  return MachineFrames(std::move(frames));
}

MachineFrames::MachineFrames(std::vector<uint64_t> machine) : own_(std::move(machine)), machine_(own_) {
  sort();
}

Result<MachineFrames> MachineFrames::from_file(const Fd& file) {
  MachineFrames frames;
  FURNACE_TRY(frames.mapped_, Mapping::whole_file(file, false));
  const auto bytes = frames.mapped_.bytes();  // whole pages: aligned
  frames.machine_ = {reinterpret_cast<const uint64_t*>(bytes.data()), bytes.size() / sizeof(uint64_t)};
  frames.sort();
  return frames;
}

/// An index by machine frame, of 4 bytes for a page: of all that a confined partition has, it may take 64 MB.
void MachineFrames::sort() {
  const auto count = static_cast<uint32_t>(std::min<size_t>(machine_.size(), UINT32_MAX));
  machine_ = machine_.first(count);
  for (uint32_t frame = 0; frame < count; ++frame)
    if (machine_[frame] != kNone) by_machine_.push_back(frame);
  std::sort(by_machine_.begin(), by_machine_.end(),
            [this](uint32_t a, uint32_t b) { return machine_[a] < machine_[b]; });
  by_machine_.shrink_to_fit();
}

uint64_t MachineFrames::machine(uint64_t frame) const {
  return frame < machine_.size() ? machine_[frame] : kNone;
}

uint64_t MachineFrames::frame(uint64_t machine) const {
  const auto found = std::lower_bound(by_machine_.begin(), by_machine_.end(), machine,
                                      [this](uint32_t frame, uint64_t of) { return machine_[frame] < of; });
  return found == by_machine_.end() || machine_[*found] != machine ? kNone : *found;
}

Result<MemoryLayout> MemoryLayout::of(xc_interface& control, const Domain& domain) {
  MemoryLayout layout;
  if (domain.pv) {
    FURNACE_TRY(layout.machine_frames, MachineFrames::of(control, domain));
    const auto frames = layout.machine_frames->all();
    for (uint64_t frame = 0; frame < frames.size(); ++frame)
      if (frames[frame] != MachineFrames::kNone) append_page(layout.ranges, frame);
  } else {
    FURNACE_CHECK(find_own_frames(control, domain, layout.ranges));
  }
  if (layout.ranges.empty()) return fail(Errc::Unavailable, "domain {} has no memory", domain.id);
  return layout;
}

uint64_t DomainMemory::mapped_frame(uint64_t frame) const {
  return layout_.machine_frames ? layout_.machine_frames->machine(frame) : frame;
}

const DomainMemory::Piece* DomainMemory::piece(uint64_t number) const {
  const auto now = std::chrono::steady_clock::now();
  if (const auto found = pieces_.find(number); found != pieces_.end()) {
    if (now - found->second.since < kMaxAge) {
      used_.splice(used_.begin(), used_, found->second.use);
      return &found->second;
    }
    used_.erase(found->second.use);
    pieces_.erase(found);
  }
  while (pieces_.size() >= kMostPieces) {
    pieces_.erase(used_.back());
    used_.pop_back();
  }
  std::array<xen_pfn_t, kFrames> frames{};
  std::array<int, kFrames> errors{};
  for (uint64_t i = 0; i < kFrames; ++i) frames[i] = mapped_frame(number * kFrames + i);
  auto pages = memory_.map(domain_, PROT_READ, frames, errors);
  if (!pages) return nullptr;
  Piece made{*std::move(pages), std::vector<bool>(kFrames), now, {}};
  for (uint64_t i = 0; i < kFrames; ++i) made.present[i] = errors[i] == 0;
  used_.push_front(number);
  made.use = used_.begin();
  return &pieces_.emplace(number, std::move(made)).first->second;
}

size_t DomainMemory::read(guest::Gpa from, std::span<std::byte> out) const {
  size_t done = 0;
  while (done < out.size()) {
    const uint64_t at = from.value + done;
    if (at < from.value || at >= ranges().back().end.value) break;
    const uint64_t frame = at / guest::kPageSize;
    const Piece* const found = piece(frame / kFrames);
    if (found == nullptr || !found->present[frame % kFrames]) break;
    const size_t size = std::min<size_t>(out.size() - done, guest::kPageSize - at % guest::kPageSize);
    std::memcpy(out.data() + done, found->pages.at(at % (kFrames * guest::kPageSize)), size);
    done += size;
  }
  covered_.apply(from, out.first(done));
  return done;
}

size_t DomainMemory::write(guest::Gpa to, std::span<const std::byte> data) {
  size_t done = 0;
  while (done < data.size()) {
    const uint64_t at = to.value + done;
    if (at < to.value || at >= ranges().back().end.value) break;
    const xen_pfn_t frame = mapped_frame(at / guest::kPageSize);
    int error = 0;
    const auto page = memory_.map(domain_, PROT_READ | PROT_WRITE, {&frame, 1}, {&error, 1});
    if (!page || error != 0) break;
    const size_t size = std::min<size_t>(data.size() - done, guest::kPageSize - at % guest::kPageSize);
    std::memcpy(page->at(at % guest::kPageSize), data.data() + done, size);
    done += size;
  }
  return done;
}

guest::Gpa DomainMemory::from_table(guest::Gpa address) const {
  if (!layout_.machine_frames) return address;
  const uint64_t frame = layout_.machine_frames->frame(address.value / guest::kPageSize);
  if (frame == MachineFrames::kNone) return {~0ULL - guest::kPageSize};  // outside of all memory
  return {frame * guest::kPageSize + address.value % guest::kPageSize};
}

}  // namespace furnace::hypervisor
