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

}  // namespace

Result<MachineFrames> MachineFrames::of(xc_interface& control, const Domain& domain) {
  FURNACE_TRY(const uint64_t claimed, frames_of(control, domain));
  if (claimed > most_frames(domain))
    return fail(Errc::Invalid, "domain {} says it has {} frames; it can have {}", domain.id, claimed,
                most_frames(domain));
  xc_domain_meminfo info{};
  if (::xc_map_domain_meminfo(&control, domain.id, &info) != 0)
    return fail_errno("domain {}: its table of machine frames", domain.id);
  MachineFrames frames;
  const uint64_t count = std::min<uint64_t>(info.p2m_size, claimed);
  frames.machine_.reserve(count);
  for (uint64_t frame = 0; frame < count; ++frame) {
    const uint64_t machine = info.p2m_table[frame];
    constexpr uint64_t foreign = 1ULL << 62;  // Linux: FOREIGN_FRAME_BIT, not this guest's own
    const bool own = machine != kNone && (machine & (foreign | (1ULL << 63))) == 0;
    frames.machine_.push_back(own ? machine : kNone);
    if (own) frames.frame_.emplace(machine, frame);
  }
  ::xc_unmap_domain_meminfo(&control, &info);
  return frames;
}

uint64_t MachineFrames::machine(uint64_t frame) const {
  return frame < machine_.size() ? machine_[frame] : kNone;
}

uint64_t MachineFrames::frame(uint64_t machine) const {
  const auto found = frame_.find(machine);
  return found == frame_.end() ? kNone : found->second;
}

Result<std::unique_ptr<DomainMemory>> DomainMemory::open(xc_interface& control, const Domain& domain) {
  FURNACE_TRY(XenForeignMemory memory, open_foreign_memory());
  std::unique_ptr<DomainMemory> opened(new DomainMemory(std::move(memory), domain.id));
  if (domain.pv) {
    FURNACE_TRY(opened->machine_frames_, MachineFrames::of(control, domain));
  }
  FURNACE_CHECK(opened->find_ranges(control, domain));
  return opened;
}

Status DomainMemory::find_ranges(xc_interface& control, const Domain& domain) {
  FURNACE_TRY(uint64_t count, frames_of(control, domain));
  count = machine_frames_ ? machine_frames_->count() : std::min(count, most_frames(domain));
  std::array<xen_pfn_t, 1024> types{};  // the most that Xen takes at a time
  for (uint64_t from = 0; from < count; from += types.size()) {
    const uint64_t some = std::min<uint64_t>(types.size(), count - from);
    for (uint64_t i = 0; i < some; ++i) types[i] = mapped_frame(from + i);
    if (!machine_frames_ &&
        ::xc_get_pfn_type_batch(&control, domain.id, static_cast<unsigned>(some), types.data()) != 0)
      return fail_errno("domain {}: its memory", domain.id);
    for (uint64_t i = 0; i < some; ++i) {
      const bool hole = machine_frames_ ? types[i] == MachineFrames::kNone
                                        : (types[i] & XEN_DOMCTL_PFINFO_LTAB_MASK) == XEN_DOMCTL_PFINFO_XTAB;
      if (hole) continue;
      const guest::Gpa at{(from + i) * guest::kPageSize};
      if (!ranges_.empty() && ranges_.back().end == at)
        ranges_.back().end = at + guest::kPageSize;
      else
        ranges_.push_back({at, at + guest::kPageSize});
    }
  }
  if (ranges_.empty()) return fail(Errc::Unavailable, "domain {} has no memory", domain.id);
  return {};
}

uint64_t DomainMemory::mapped_frame(uint64_t frame) const {
  return machine_frames_ ? machine_frames_->machine(frame) : frame;
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
  void* const address =
      ::xenforeignmemory_map(memory_.get(), domain_, PROT_READ, kFrames, frames.data(), errors.data());
  if (address == nullptr) return nullptr;
  Piece made{ForeignPages(*memory_, address, kFrames), std::vector<bool>(kFrames), now, {}};
  for (uint64_t i = 0; i < kFrames; ++i) made.present[i] = errors[i] == 0;
  used_.push_front(number);
  made.use = used_.begin();
  return &pieces_.emplace(number, std::move(made)).first->second;
}

size_t DomainMemory::read(guest::Gpa from, std::span<std::byte> out) const {
  size_t done = 0;
  while (done < out.size()) {
    const uint64_t at = from.value + done;
    if (at < from.value || at >= ranges_.back().end.value) break;
    const uint64_t frame = at / guest::kPageSize;
    const Piece* const found = piece(frame / kFrames);
    if (found == nullptr || !found->present[frame % kFrames]) break;
    const size_t size = std::min<size_t>(out.size() - done, guest::kPageSize - at % guest::kPageSize);
    std::memcpy(out.data() + done, found->pages.at(at % (kFrames * guest::kPageSize)), size);
    done += size;
  }
  if (!covered_.empty()) uncover(from, out.first(done));
  return done;
}

void DomainMemory::uncover(guest::Gpa from, std::span<std::byte> out) const {
  for (auto it = covered_.lower_bound(from.value);
       it != covered_.end() && it->first - from.value < out.size(); ++it)
    out[it->first - from.value] = it->second;
}

void DomainMemory::cover(guest::Gpa at, std::optional<std::byte> original) {
  if (original)
    covered_[at.value] = *original;
  else
    covered_.erase(at.value);
}

size_t DomainMemory::write(guest::Gpa to, std::span<const std::byte> data) {
  size_t done = 0;
  while (done < data.size()) {
    const uint64_t at = to.value + done;
    if (at < to.value || at >= ranges_.back().end.value) break;
    const xen_pfn_t frame = mapped_frame(at / guest::kPageSize);
    int error = 0;
    void* const address =
        ::xenforeignmemory_map(memory_.get(), domain_, PROT_READ | PROT_WRITE, 1, &frame, &error);
    if (address == nullptr) break;
    const ForeignPages page(*memory_, address, 1);
    if (error != 0) break;
    const size_t size = std::min<size_t>(data.size() - done, guest::kPageSize - at % guest::kPageSize);
    std::memcpy(page.at(at % guest::kPageSize), data.data() + done, size);
    done += size;
  }
  return done;
}

guest::Gpa DomainMemory::from_table(guest::Gpa address) const {
  if (!machine_frames_) return address;
  const uint64_t frame = machine_frames_->frame(address.value / guest::kPageSize);
  if (frame == MachineFrames::kNone) return {~0ULL - guest::kPageSize};  // outside of all memory
  return {frame * guest::kPageSize + address.value % guest::kPageSize};
}

}  // namespace furnace::hypervisor
