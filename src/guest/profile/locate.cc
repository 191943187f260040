#include "guest/profile/locate.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/bytes.h"
#include "base/log.h"
#include "base/printable.h"
#include "guest/profile/kallsyms.h"

namespace furnace::guest {
namespace {

// Documentation/x86/x86_64/mm.rst: the kernel text mapping; modules begin where it ends.
constexpr Gva kTextMapping{0xffffffff80000000};
constexpr uint64_t kTextMappingSize = 1 << 30;
constexpr uint64_t kLargePage = 2 << 20;  // the image is aligned to it, both virtually and physically
constexpr std::string_view kBannerStart = "Linux version ";
constexpr size_t kMaxBanner = 512;
constexpr uint64_t kMaxBtf = 64 << 20;

/// An image that a page table in use maps.
struct MappedImage {
  Gva text;
  Gpa text_gpa;
  uint64_t size;
};

std::optional<MappedImage> find_mapped_image(const GuestMemory& memory, PageTable table) {
  std::optional<MappedImage> image;
  for (uint64_t offset = 0; offset < kTextMappingSize; offset += kLargePage) {
    const Gva at = kTextMapping + offset;
    const auto page = walk(memory, table, at);
    if (!page) continue;
    if (!image) image = MappedImage{at, page->gpa, 0};
    // Holes (freed init sections) are passed over; what is elsewhere physically isn't the image.
    if (page->gpa.value - image->text_gpa.value == at.value - image->text.value)
      image->size = at.value - image->text.value + kLargePage;
  }
  return image;
}

std::string banner_at(const GuestMemory& memory, Gpa gpa) {
  const auto block = memory.read_block(gpa, kMaxBanner);
  const std::string_view text = until_nul(as_text(block));
  return text.starts_with(kBannerStart) ? std::string(text.substr(0, text.find('\n'))) : std::string();
}

/// The idle task of the first vCPU has a name that every kernel gives it: symbols and types fit if it is
/// where they put it.
Status check_idle_task(const GuestMemory& memory, const Kernel& kernel) {
  const auto task = kernel.image_gpa("init_task");
  FURNACE_TRY(const uint64_t comm, kernel.member("task_struct", "comm"));
  constexpr std::string_view name = "swapper";
  if (!task || !as_text(memory.read_block(*task + comm, name.size())).starts_with(name))
    return fail(Errc::Invalid, "no idle task where the profile's init_task and task_struct.comm put it");
  return {};
}

/// Checks a placement against the guest: its own root table must map the banner where the image holds it.
Result<Kernel> verify(const GuestMemory& memory, std::shared_ptr<const Profile> profile, Gva text,
                      Gpa text_gpa) {
  Kernel kernel(profile, {text, text_gpa, {}});
  const auto root = kernel.image_gpa("init_top_pgt");
  const auto banner = kernel.image_gpa("linux_banner");
  if (!root || !banner) return fail(Errc::Invalid, "the kernel has no symbol init_top_pgt or linux_banner");
  const std::string found = banner_at(memory, *banner);
  // A profile of another form may not tell its banner: then any kernel's will do here, and init_task decides.
  if (found.empty() || (!profile->banner().empty() && found != profile->banner()))
    return fail(Errc::Invalid, "no banner of this kernel at {:#x}", banner->value);
  // With LA57 compiled in, the kernel says in a variable whether it uses 5 levels (arch/x86/mm/init_64.c).
  const auto five = kernel.image_gpa("__pgtable_l5_enabled");
  const int levels = five && memory.read<uint32_t>(*five).value_or(0) == 1 ? 5 : 4;
  const PageTable table{*root, levels};
  const auto mapped = walk(memory, table, *kernel.symbol("linux_banner"));
  if (!mapped || mapped->gpa != *banner)
    return fail(Errc::Unavailable, "the kernel's page table at {:#x} does not map it yet", root->value);
  if (profile->banner().empty()) FURNACE_CHECK(check_idle_task(memory, kernel));
  return Kernel(std::move(profile), {text, text_gpa, table});
}

/// Verifies an image whose virtual address is not known: its own root table shows where it runs.
Result<Kernel> place(const GuestMemory& memory, const std::shared_ptr<const Profile>& profile, Gpa text_gpa) {
  const auto root = profile->symbol("init_top_pgt");
  if (!root) return fail(Errc::Invalid, "the kernel has no symbol init_top_pgt");
  Error reason(Errc::Unavailable,
               fmt::format("no page table of the kernel at {:#x} maps it yet", text_gpa.value));
  for (const int levels : {4, 5}) {
    const auto image = find_mapped_image(memory, {text_gpa + root->value, levels});
    if (!image || image->text_gpa != text_gpa) continue;
    auto placed = verify(memory, profile, image->text, text_gpa);
    if (placed) return placed;
    reason = placed.error();
  }
  return tl::unexpected<Error>(std::move(reason));
}

/// The profile of the image around a kallsyms signature, and where that image is.
class ImageReader {
 public:
  ImageReader(const GuestMemory& memory, GpaRange range) : memory_(memory), range_(range) {}

  /// A cheap look before the large one: digits lie in other places too.
  [[nodiscard]] bool may_hold_symbols(Gpa signature) const {
    const Gpa start = window_start(signature, kTokenTableBefore);
    return has_token_table(window(signature, start, kTokenTableBehind), signature.value - start.value);
  }

  /// `image`: the one around it, if it is known.
  Result<Kernel> read(Gpa signature, const std::optional<MappedImage>& image) {
    FURNACE_TRY(Decoded decoded, decode(signature));
    const Kallsyms& symbols = decoded.symbols;
    const Gva text{symbols.relative_base};
    const auto address_of = [&](std::string_view name) -> std::optional<uint64_t> {
      const auto found = std::find_if(symbols.symbols.begin(), symbols.symbols.end(),
                                      [&](const Kallsyms::Symbol& symbol) { return symbol.name == name; });
      if (found == symbols.symbols.end() || found->address < text.value) return std::nullopt;
      return found->address - text.value;
    };
    const auto banner = address_of("linux_banner");
    if (!banner) return fail(Errc::Invalid, "kallsyms: no symbol linux_banner");
    std::optional<Gpa> text_gpa = decoded.text_gpa;
    if (image && text_gpa && *text_gpa != image->text_gpa)
      return fail(Errc::Invalid, "kallsyms: of another kernel image, at {:#x}", text_gpa->value);
    if (image) text_gpa = image->text_gpa;
    if (!text_gpa) FURNACE_CHECK(find_text(*banner, decoded.tables_gpa, text_gpa));
    const auto btf_start = address_of("__start_BTF");
    const auto btf_end = address_of("__stop_BTF");
    if (!btf_start || !btf_end || *btf_end <= *btf_start || *btf_end - *btf_start > kMaxBtf)
      return fail(Errc::NotFound, "the kernel carries no BTF types (CONFIG_DEBUG_INFO_BTF is off)");

    ProfileBuilder builder;
    builder.set_banner(banner_at(memory_, *text_gpa + *banner));
    builder.set_layout(decoded.tables_gpa.value - text_gpa->value, std::move(decoded.tables),
                       decoded.base_position - text_gpa->value);
    builder.reserve(symbols.symbols.size());
    for (auto& symbol : decoded.symbols.symbols)
      builder.add_symbol(std::move(symbol.name), symbol.address, text.value, symbol.type);
    decoded.symbols.symbols = {};
    builder.set_types(memory_.read_block(*text_gpa + *btf_start, *btf_end - *btf_start));
    auto built = std::move(builder).build();
    if (!built) return fail(built.error(), "the kernel's types (its BTF) can't be read");
    std::shared_ptr<const Profile> profile = *std::move(built);
    if (!decoded.text_gpa) return verify(memory_, std::move(profile), text, *text_gpa);
    if (image) return verify(memory_, std::move(profile), image->text, *text_gpa);
    return place(memory_, profile, *text_gpa);
  }

 private:
  /// What is kept of a window, which is large.
  struct Decoded {
    Kallsyms symbols;
    std::vector<std::byte> tables;
    Gpa tables_gpa;
    uint64_t base_position = 0;   ///< the physical address of the image's own address, or the tables' end
    std::optional<Gpa> text_gpa;  ///< of tables that tell only where the image is, not its address
  };
  [[nodiscard]] Result<Decoded> decode(Gpa signature) const {
    Error reason(Errc::NotFound, "kallsyms: none");
    for (const KallsymsWindow& size : kKallsymsWindows) {
      const Gpa start = window_start(signature, size.before);
      const auto bytes = window(signature, start, size.behind);
      auto symbols = parse_kallsyms(bytes, signature.value - start.value);
      if (!symbols) {
        reason = symbols.error();
        continue;
      }
      const auto at = [&](size_t position) { return bytes.begin() + static_cast<ptrdiff_t>(position); };
      Decoded decoded{*std::move(symbols), {}, {}, 0, {}};
      const Kallsyms& found = decoded.symbols;
      decoded.tables.assign(at(found.tables_start), at(found.tables_end));
      decoded.tables_gpa = start + found.tables_start;
      decoded.base_position = start.value + found.relative_base_position.value_or(found.tables_end);
      if (found.relative_base_position) return decoded;
      decoded.text_gpa = Gpa{start.value + static_cast<uint64_t>(found.text_position)};
      if (decoded.text_gpa->value % kLargePage != 0 || decoded.text_gpa->value >= decoded.tables_gpa.value)
        return fail(Errc::Invalid, "kallsyms: no kernel image at {:#x}", decoded.text_gpa->value);
      return decoded;
    }
    return tl::unexpected<Error>(std::move(reason));
  }

  [[nodiscard]] Gpa window_start(Gpa signature, uint64_t before) const {
    const uint64_t available = signature.value - range_.start.value;
    return Gpa{(signature.value - std::min(before, available) + 7) & ~uint64_t{7}};
  }
  [[nodiscard]] std::vector<std::byte> window(Gpa signature, Gpa start, uint64_t behind) const {
    return memory_.read_block(start, std::min(range_.end.value, signature.value + behind) - start.value);
  }

  /// Without paging registers: the image start follows from the banner, which is at a known distance from
  /// it.
  Status find_text(uint64_t banner_offset, Gpa inside, std::optional<Gpa>& text_gpa) {
    memory_.search(range_, as_bytes(kBannerStart), [&](Gpa found) {
      const uint64_t start = found.value - banner_offset;
      const bool plausible = found.value >= banner_offset && start % kLargePage == 0 &&
                             start < inside.value && inside.value - start < kTextMappingSize;
      if (plausible) text_gpa = Gpa{start};
      return !plausible;
    });
    if (!text_gpa) return fail(Errc::Invalid, "no kernel image around the symbols at {:#x}", inside.value);
    return {};
  }

  const GuestMemory& memory_;
  GpaRange range_;
};

/// Why nothing was found, the most telling reason of several.
void remember(std::optional<Error>& reason, const Error& error) {
  const bool better = !reason || error.code() == Errc::NotFound;
  if (better) reason = error;
}

/// Whether guest memory at `gpa` holds `expected`, in pieces that stay in the processor's cache.
bool holds(const GuestMemory& memory, Gpa gpa, std::span<const std::byte> expected) {
  std::array<std::byte, 64 << 10> buffer;
  for (size_t done = 0; done < expected.size();) {
    const auto piece = std::span(buffer).first(std::min(buffer.size(), expected.size() - done));
    if (memory.read(gpa + done, piece) != piece.size()) return false;
    if (std::memcmp(piece.data(), expected.data() + done, piece.size()) != 0) return false;
    done += piece.size();
  }
  return true;
}

/// Whether the guest holds the very bytes that a profile was decoded from. A mere banner is what a guest
/// says of itself.
bool same_bytes(const GuestMemory& memory, Gpa text_gpa, const Profile& profile) {
  const Profile::Header& header = profile.header();
  const auto tables = profile.tables();
  const Gpa tables_gpa = text_gpa + header.tables_offset;
  // KASLR changes one number among them, the kernel's pointer to its own start. None: base is their end.
  const uint64_t base = header.relative_base_offset - header.tables_offset;
  if (tables.size() < sizeof(uint64_t)) return false;
  if (base != tables.size() && base > tables.size() - sizeof(uint64_t)) return false;
  const uint64_t behind = std::min(base + sizeof(uint64_t), uint64_t{tables.size()});
  const auto btf_start = profile.symbol("__start_BTF");
  return btf_start && holds(memory, tables_gpa, tables.first(base)) &&
         holds(memory, tables_gpa + behind, tables.subspan(behind)) &&
         holds(memory, text_gpa + btf_start->value, profile.btf());
}

/// A kernel whose profile is cached: its banner is where the cached symbols put it.
std::optional<Kernel> locate_cached(const GuestMemory& memory, const MappedImage& image,
                                    ProfileCache& cache) {
  const auto profile = cache.find([&](const ProfileSummary& summary) {
    return summary.banner_offset < image.size &&
           banner_at(memory, image.text_gpa + summary.banner_offset) == summary.banner;
  });
  if (!profile) return std::nullopt;
  if (!same_bytes(memory, image.text_gpa, *profile)) {
    log::warning("the guest's kernel calls itself as a cached one but is another: searching its own tables");
    return std::nullopt;
  }
  auto kernel = verify(memory, profile, image.text, image.text_gpa);
  if (!kernel) return std::nullopt;
  return *std::move(kernel);
}

Result<Kernel> search_range(const GuestMemory& memory, GpaRange range,
                            const std::optional<MappedImage>& image) {
  std::optional<Kernel> found;
  std::optional<Error> reason;
  ImageReader reader(memory, range);
  memory.search(range, kallsyms_signature(), [&](Gpa signature) {
    if (!reader.may_hold_symbols(signature)) return true;
    auto kernel = reader.read(signature, image);
    if (kernel) {
      found = std::move(*kernel);
    } else {
      log::debug("symbols at {:#x}: {}", signature.value, kernel.error().message());
      remember(reason, kernel.error());
    }
    return !found;
  });
  if (found) return *std::move(found);
  if (reason) return tl::unexpected<Error>(*reason);
  return fail(Errc::NotFound, "no symbol table in memory (no Linux kernel, or CONFIG_KALLSYMS is off)");
}

Result<Kernel> locate_everywhere(const GuestMemory& memory) {
  std::optional<Error> reason;
  for (const GpaRange& range : memory.used_ranges()) {
    auto kernel = search_range(memory, range, std::nullopt);
    if (kernel) return kernel;
    remember(reason, kernel.error());
  }
  return fail(reason.value_or(Error(Errc::NotFound, "the guest has no memory")), "no kernel found");
}

/// The image that the page table in a vCPU's CR3 maps.
Result<MappedImage> image_in_use(const GuestMemory& memory, const PagingState& paging) {
  constexpr uint64_t paging_on = 1ULL << 31;  // CR0.PG
  constexpr uint64_t la57 = 1ULL << 12;       // CR4.LA57
  constexpr uint64_t long_mode = 1ULL << 10;  // EFER.LMA
  if ((paging.cr0 & paging_on) == 0 || (paging.efer & long_mode) == 0)
    return fail(Errc::Unavailable,
                "the guest is not in 64-bit mode (firmware, early boot, or not an x86-64 system)");
  const PageTable table{kernel_root(memory, paging.cr3), (paging.cr4 & la57) != 0 ? 5 : 4};
  const auto image = find_mapped_image(memory, table);
  if (!image)
    return fail(Errc::Unavailable,
                "the page table in use (cr3 {:#x}) maps no Linux kernel: still booting, or not Linux",
                paging.cr3);
  return *image;
}

/// Without registers: every banner in memory whose distance fits may be the image's; its own root table then
/// shows where it runs.
Result<Kernel> place_by_banner(const GuestMemory& memory, const std::shared_ptr<const Profile>& profile) {
  const auto banner = profile->symbol("linux_banner");
  if (!banner) return fail(Errc::Invalid, "the profile has no symbol linux_banner");
  std::optional<Kernel> kernel;
  for (const GpaRange& range : memory.used_ranges()) {
    memory.search(range, as_bytes(kBannerStart), [&](Gpa found) {
      const Gpa text_gpa = found - banner->value;
      if (found.value < banner->value || text_gpa.value % kLargePage != 0) return true;
      if (auto placed = place(memory, profile, text_gpa)) kernel = *std::move(placed);
      return !kernel;
    });
    if (kernel) return *std::move(kernel);
  }
  return fail(Errc::NotFound, "not in the guest's memory");
}

/// What the guest says it runs, for the message that it is not what the profile describes.
std::string banner_in(const GuestMemory& memory, const std::vector<GpaRange>& ranges) {
  std::string banner;
  for (const GpaRange& range : ranges)
    memory.search(range, as_bytes(kBannerStart), [&](Gpa found) {
      banner = printable(banner_at(memory, found));
      // The format string of /proc/version begins like it.
      if (banner.find('%') != std::string::npos) banner.clear();
      return banner.empty();
    });
  return banner.empty() ? "another kernel" : "'" + banner + "'";
}

}  // namespace

Result<Kernel> locate_kernel(const GuestMemory& memory, const std::optional<PagingState>& paging,
                             const std::shared_ptr<const Profile>& profile) {
  std::optional<MappedImage> image;
  if (paging) {
    FURNACE_TRY(image, image_in_use(memory, *paging));
  }
  auto kernel =
      image ? verify(memory, profile, image->text, image->text_gpa) : place_by_banner(memory, profile);
  if (kernel || kernel.error().code() == Errc::Unavailable) return kernel;
  const auto searched =
      image ? std::vector<GpaRange>{{image->text_gpa, image->text_gpa + image->size}} : memory.used_ranges();
  const std::string described =
      profile->banner().empty() ? "a kernel without a banner" : "'" + printable(profile->banner()) + "'";
  return fail(Errc::Invalid, "wrong profile: it is of {}, the guest runs {} ({})", described,
              banner_in(memory, searched), kernel.error().message());
}

Result<Kernel> locate_kernel(const GuestMemory& memory, const std::optional<PagingState>& paging,
                             ProfileCache* cache) {
  if (!paging) {
    FURNACE_TRY(Kernel kernel, locate_everywhere(memory));
    if (cache != nullptr) cache->store(kernel.profile());
    return kernel;
  }
  FURNACE_TRY(const auto image, image_in_use(memory, *paging));
  if (cache != nullptr)
    if (auto cached = locate_cached(memory, image, *cache)) return *std::move(cached);
  auto kernel = search_range(memory, {image.text_gpa, image.text_gpa + image.size}, image);
  if (!kernel) return fail(kernel.error(), fmt::format("kernel image at {:#x}", image.text_gpa.value));
  if (kernel->placement().text != image.text)
    return fail(Errc::Unavailable, "the guest is booting: its kernel is not relocated yet");
  if (cache != nullptr) cache->store(kernel->profile());
  return kernel;
}

}  // namespace furnace::guest
