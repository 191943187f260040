#include "hypervisor/snapshot/seekable_zstd.h"

#include <zstd.h>

#include <algorithm>

#include "base/bytes.h"

namespace furnace::hypervisor {
namespace {

constexpr uint32_t kSkippable = 0x184D2A5E, kSeekable = 0x8F92EAB1;
constexpr size_t kFooter = 9;  // number of frames, a descriptor byte, the magic
constexpr uint8_t kChecksums = 0x80;
constexpr uint32_t kMaxFrame = 64 << 20;
constexpr uint32_t kMaxFrames = 1 << 22;

void append(std::vector<std::byte>& to, uint32_t value) {
  const auto bytes = std::as_bytes(std::span(&value, 1));
  to.insert(to.end(), bytes.begin(), bytes.end());
}

}  // namespace

Result<std::unique_ptr<SeekableZstd>> SeekableZstd::open(std::unique_ptr<ImageFile> file) {
  const auto invalid = [] {
    return fail(
        Errc::Invalid,
        "zstd without a valid seek table, which can't be read at random places: unpack it first (zstd -d)");
  };
  std::array<std::byte, kFooter> footer;
  const uint64_t packed = file->size();
  if (packed < kFooter || file->read(packed - kFooter, footer) != kFooter ||
      *load<uint32_t>(footer, 5) != kSeekable)
    return invalid();
  const uint32_t count = *load<uint32_t>(footer, 0);
  const uint64_t entry_size = (std::to_integer<uint8_t>(footer[4]) & kChecksums) != 0 ? 12 : 8;
  const uint64_t table_size = count * entry_size + kFooter;
  if (count > kMaxFrames || table_size + 8 > packed) return invalid();
  std::vector<std::byte> table(table_size);
  const uint64_t table_start = packed - table_size;
  if (file->read(table_start, table) != table.size()) return invalid();

  std::unique_ptr<SeekableZstd> made(new SeekableZstd(std::move(file)));
  uint64_t offset = 0;
  for (uint32_t i = 0; i < count; ++i) {
    const Frame frame{offset, made->size_, *load<uint32_t>(table, i * entry_size),
                      *load<uint32_t>(table, i * entry_size + 4)};
    offset += frame.packed_size;
    if (frame.size > kMaxFrame || offset > table_start) return invalid();
    made->size_ += frame.size;
    if (frame.size != 0) made->frames_.push_back(frame);
  }
  if (made->size_ == 0) return invalid();
  return made;
}

std::span<const std::byte> SeekableZstd::frame(size_t index) const {
  auto oldest = cache_.begin();
  for (auto it = cache_.begin(); it != cache_.end(); ++it) {
    if (it->frame == index) {
      it->used = ++clock_;
      return it->bytes;
    }
    if (it->used < oldest->used) oldest = it;
  }
  const Frame& wanted = frames_[index];
  std::vector<std::byte> packed(wanted.packed_size);
  packed.resize(file_->read(wanted.offset, packed));
  oldest->bytes.resize(wanted.size);
  const size_t got =
      ZSTD_decompress(oldest->bytes.data(), oldest->bytes.size(), packed.data(), packed.size());
  oldest->bytes.resize(ZSTD_isError(got) != 0 ? 0 : got);  // a damaged frame reads as missing memory
  oldest->frame = index;
  oldest->used = ++clock_;
  return oldest->bytes;
}

size_t SeekableZstd::read(uint64_t offset, std::span<std::byte> out) const {
  size_t done = 0;
  while (done < out.size() && offset + done < size_) {
    const auto behind = std::upper_bound(frames_.begin(), frames_.end(), offset + done,
                                         [](uint64_t at, const Frame& frame) { return at < frame.start; });
    const auto index = static_cast<size_t>(behind - frames_.begin()) - 1;
    const auto bytes = frame(index);
    const uint64_t inside = offset + done - frames_[index].start;
    if (inside >= bytes.size()) break;
    const size_t size = std::min(out.size() - done, bytes.size() - inside);
    std::copy_n(bytes.begin() + static_cast<ptrdiff_t>(inside), size,
                out.begin() + static_cast<ptrdiff_t>(done));
    done += size;
  }
  return done;
}

struct SeekableZstdWriter::State {
  Sink sink;
  std::unique_ptr<ZSTD_CCtx, size_t (*)(ZSTD_CCtx*)> context{ZSTD_createCCtx(), ZSTD_freeCCtx};
  std::vector<std::byte> pending, packed = std::vector<std::byte>(ZSTD_compressBound(kFrame)), table;
  uint32_t frames = 0;
};

SeekableZstdWriter::SeekableZstdWriter(Sink sink) : state_(std::make_unique<State>()) {
  state_->sink = std::move(sink);
}

SeekableZstdWriter::~SeekableZstdWriter() = default;

Status SeekableZstdWriter::flush() {
  State& state = *state_;
  if (state.pending.empty()) return {};
  constexpr int level = 1;  // of memory, higher ones gain a few percent for several times the time
  const size_t size = ZSTD_compressCCtx(state.context.get(), state.packed.data(), state.packed.size(),
                                        state.pending.data(), state.pending.size(), level);
  if (ZSTD_isError(size) != 0) return fail(Errc::Failed, "zstd: {}", ZSTD_getErrorName(size));
  append(state.table, static_cast<uint32_t>(size));
  append(state.table, static_cast<uint32_t>(state.pending.size()));
  ++state.frames;
  state.pending.clear();
  return state.sink(std::span(state.packed).first(size));
}

Status SeekableZstdWriter::write(std::span<const std::byte> content) {
  while (!content.empty()) {
    const size_t size = std::min(content.size(), kFrame - state_->pending.size());
    state_->pending.insert(state_->pending.end(), content.begin(),
                           content.begin() + static_cast<ptrdiff_t>(size));
    content = content.subspan(size);
    if (state_->pending.size() == kFrame) FURNACE_CHECK(flush());
  }
  return {};
}

Status SeekableZstdWriter::finish() {
  FURNACE_CHECK(flush());
  std::vector<std::byte> end;
  append(end, kSkippable);
  append(end, static_cast<uint32_t>(state_->table.size() + kFooter));
  end.insert(end.end(), state_->table.begin(), state_->table.end());
  append(end, state_->frames);
  end.push_back(std::byte{0});
  append(end, kSeekable);
  return state_->sink(end);
}

}  // namespace furnace::hypervisor
