#include "guest/profile/profile.h"

#include <fcntl.h>
#include <malloc.h>

#include <algorithm>
#include <cstring>

#include "base/bytes.h"

namespace furnace::guest {
namespace {

// The last character is the version of the form.
constexpr char kProfileMagic[8] = {'F', 'U', 'R', 'N', 'P', 'R', 'F', '3'};

void append(std::vector<std::byte>& image, std::span<const std::byte> bytes) {
  image.insert(image.end(), bytes.begin(), bytes.end());
}

}  // namespace

bool Profile::is_image(std::span<const std::byte> bytes) {
  const auto header = load<Header>(bytes, 0);
  return header && std::memcmp(header->magic, kProfileMagic, sizeof kProfileMagic) == 0;
}

Status Profile::open(std::span<const std::byte> image) {
  image_ = image;
  if (!is_image(image)) return fail(Errc::Invalid, "not a profile of this version");
  header_ = *load<Header>(image, 0);
  std::span<const std::byte> rest = image.subspan(sizeof(Header));
  const uint64_t expected = uint64_t{header_.symbol_count} * sizeof(Entry) + header_.names_size +
                            header_.banner_size + header_.tables_size + header_.btf_size;
  if (rest.size() != expected)
    return fail(Errc::Invalid, "truncated or damaged: {} bytes, expected {}", rest.size(), expected);
  const auto take = [&](size_t size) {
    const auto part = rest.first(size);
    rest = rest.subspan(size);
    return part;
  };
  banner_ = as_text(take(header_.banner_size));
  entries_ = take(size_t{header_.symbol_count} * sizeof(Entry));
  names_ = as_text(take(header_.names_size));
  tables_ = take(header_.tables_size);
  btf_ = rest;
  FURNACE_TRY(types_, Btf::parse(btf_));
  return {};
}

std::optional<ProfileSummary> summarize(std::span<const std::byte> start) {
  if (!Profile::is_image(start)) return std::nullopt;
  const auto header = load<Profile::Header>(start, 0);
  const auto rest = start.subspan(sizeof(Profile::Header));
  if (header->banner_size > rest.size()) return std::nullopt;
  return ProfileSummary{std::string(as_text(rest.first(header->banner_size))), header->banner_offset};
}

Result<std::shared_ptr<const Profile>> Profile::from_image(std::vector<std::byte> image) {
  auto profile = std::make_shared<Profile>();
  profile->owned_ = std::move(image);
  FURNACE_CHECK(profile->open(profile->owned_));
  return profile;
}

Result<std::shared_ptr<const Profile>> Profile::from_file(const std::filesystem::path& path) {
  FURNACE_TRY(const Fd fd, open_file(path, O_RDONLY));
  auto profile = from_descriptor(fd);
  if (!profile) return fail(profile.error(), path.string());
  return profile;
}

Result<std::shared_ptr<const Profile>> Profile::from_descriptor(const Fd& file) {
  auto profile = std::make_shared<Profile>();
  FURNACE_TRY(profile->mapped_, Mapping::whole_file(file, false));
  FURNACE_CHECK(profile->open(profile->mapped_.bytes()));
  return profile;
}

Profile::Entry Profile::entry(size_t index) const {
  return load<Entry>(entries_, index * sizeof(Entry)).value_or(Entry{});
}

std::string_view Profile::name(const Entry& entry) const {
  return entry.name < names_.size() ? until_nul(names_.substr(entry.name)) : std::string_view();
}

std::optional<SymbolValue> Profile::symbol(std::string_view wanted) const {
  size_t low = 0;
  size_t high = header_.symbol_count;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    const Entry found = entry(middle);
    const int order = name(found).compare(wanted);
    if (order == 0) return SymbolValue{found.value, found.relative != 0, found.type};
    (order < 0 ? low : high) = order < 0 ? middle + 1 : middle;
  }
  return std::nullopt;
}

std::pair<std::string_view, SymbolValue> Profile::symbol_at(size_t index) const {
  const Entry found = entry(index);
  return {name(found), {found.value, found.relative != 0, found.type}};
}

void ProfileBuilder::add_symbol(std::string name, SymbolValue value) {
  symbols_.push_back({std::move(name), value});
}

void ProfileBuilder::add_symbol(std::string name, uint64_t address, uint64_t text, char type) {
  const bool relative = address >= text;
  add_symbol(std::move(name), {relative ? address - text : address, relative, type});
}

void ProfileBuilder::set_layout(uint64_t tables_offset, std::vector<std::byte> tables,
                                uint64_t relative_base_offset) {
  tables_offset_ = tables_offset;
  tables_ = std::move(tables);
  relative_base_offset_ = relative_base_offset;
}

Result<std::shared_ptr<const Profile>> ProfileBuilder::build() && {
  std::vector<const Named*> sorted;
  sorted.reserve(symbols_.size());
  for (const Named& symbol : symbols_) sorted.push_back(&symbol);
  // Stable: of local symbols with one name the kernel's first is kept, as kallsyms_lookup_name does.
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const Named* a, const Named* b) { return a->name < b->name; });
  sorted.erase(std::unique(sorted.begin(), sorted.end(),
                           [](const Named* a, const Named* b) { return a->name == b->name; }),
               sorted.end());

  std::string names;
  std::vector<Profile::Entry> entries;
  entries.reserve(sorted.size());
  for (const Named* symbol : sorted) {
    entries.push_back({static_cast<uint32_t>(names.size()),
                       static_cast<uint8_t>(symbol->value.relative ? 1 : 0), symbol->value.type, 0,
                       symbol->value.value});
    names += symbol->name;
    names += '\0';
  }
  Profile::Header header{};
  std::memcpy(header.magic, kProfileMagic, sizeof kProfileMagic);
  header.symbol_count = static_cast<uint32_t>(entries.size());
  header.names_size = static_cast<uint32_t>(names.size());
  header.banner_size = static_cast<uint32_t>(banner_.size());
  header.btf_size = static_cast<uint32_t>(btf_.size());
  header.tables_size = static_cast<uint32_t>(tables_.size());
  header.tables_offset = tables_offset_;
  for (const Named* symbol : sorted)
    if (symbol->name == "linux_banner") header.banner_offset = symbol->value.value;
  header.relative_base_offset = relative_base_offset_;
  sorted = {};
  symbols_ = {};
  ::malloc_trim(0);  // the names' pieces are worth 20 MB, and nothing that small is needed next

  std::vector<std::byte> image;
  image.reserve(sizeof header + banner_.size() + entries.size() * sizeof(Profile::Entry) + names.size() +
                tables_.size() + btf_.size());
  append(image, std::as_bytes(std::span(&header, 1)));
  append(image, as_bytes(banner_));
  append(image, std::as_bytes(std::span(entries)));
  append(image, as_bytes(names));
  append(image, std::exchange(tables_, {}));
  append(image, std::exchange(btf_, {}));
  return Profile::from_image(std::move(image));
}

}  // namespace furnace::guest
