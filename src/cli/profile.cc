#include "cli/profile.h"

#include <chrono>
#include <cstdio>

#include "base/compression.h"
#include "base/file.h"
#include "base/printable.h"
#include "guest/profile/export.h"
#include "guest/profile/profile_file.h"
#include "hypervisor/attach.h"
#include "vmi/machine.h"
#include "vmi/profile_store.h"

namespace furnace::cli {
namespace {

using guest::Btf;
using guest::Profile;
using ProfilePointer = std::shared_ptr<const Profile>;

/// The kernel in a VM or snapshot.
Result<guest::Kernel> kernel_of(const std::string& vm) {
  FURNACE_TRY(auto driver, hypervisor::attach(vm));
  vmi::ProfileStore profiles(vmi::ProfileStore::default_directory());
  vmi::Machine machine(std::move(driver), &profiles);
  FURNACE_TRY(const guest::Kernel* kernel, machine.kernel());
  return *kernel;
}

/// A file that is a profile, or what a VM runs. A snapshot is a file too: tried last.
Result<ProfilePointer> open(const ProfileOptions& options) {
  std::error_code ignored;
  if (!std::filesystem::exists(options.source, ignored) && options.source.find('/') == std::string::npos) {
    FURNACE_TRY(const guest::Kernel kernel, kernel_of(options.source));
    return kernel.shared_profile();
  }
  auto profile = guest::load_profile(options.source, options.types);
  if (profile) return profile;
  if (const auto kernel = kernel_of(options.source)) return kernel->shared_profile();
  return profile;
}

std::string type_text(const Btf& types, uint32_t id, int depth = 0) {
  const auto type = types.describe(id);
  constexpr int deepest = 8;
  if (!type || depth > deepest) return "?";
  const std::string name = type->name.empty() ? "(anonymous)" : printable(type->name);
  switch (type->kind) {
    case Btf::Kind::Void:
      return "void";
    case Btf::Kind::Pointer:
      return type_text(types, type->target, depth + 1) + " *";
    case Btf::Kind::Array:
      return fmt::format("{}[{}]", type_text(types, type->target, depth + 1), type->count);
    case Btf::Kind::Struct:
      return "struct " + name;
    case Btf::Kind::Union:
      return "union " + name;
    case Btf::Kind::Enum:
      return "enum " + name;
    case Btf::Kind::Function:
      return "function";
    default:
      return name;
  }
}

Status show_structure(const Btf& types, std::string_view name) {
  FURNACE_TRY(const uint32_t id, types.find_structure(name));
  FURNACE_TRY(const uint64_t size, types.size(name));
  fmt::print("{}: {} bytes\n", name, size);
  return types.for_each_member(id, [&](std::string_view member, const Btf::Member& found) {
    const std::string bits = found.bit_size != 0 ? fmt::format(":{}", found.bit_size) : "";
    fmt::print("  {:>6}  {:<32} {}\n", found.byte_offset(), printable(member) + bits,
               type_text(types, found.type));
  });
}

Status show_thing(const Profile& profile, const std::string& thing) {
  if (const auto symbol = profile.symbol(thing)) {
    fmt::print("{}: {:#x}{}\n", thing, guest::linked_address(*symbol),
               symbol->relative ? "" : " (not relocated)");
    return {};
  }
  if (profile.types().has_structure(thing)) return show_structure(profile.types(), thing);
  const size_t dot = thing.find('.');
  if (dot == std::string::npos)
    return fail(Errc::NotFound, "no symbol and no structure '{}' in the profile", thing);
  FURNACE_TRY(const Btf::Member member, profile.types().member(thing.substr(0, dot), thing.substr(dot + 1)));
  fmt::print("{}: {}\n", thing, member.byte_offset());
  return {};
}

}  // namespace

Status show_profile(const ProfileOptions& options) {
  FURNACE_TRY(const ProfilePointer profile, open(options));
  for (const std::string& thing : options.things) FURNACE_CHECK(show_thing(*profile, thing));
  if (!options.things.empty()) return {};
  fmt::print("kernel   {}\n", profile->banner().empty() ? "(not in the file)" : printable(profile->banner()));
  fmt::print("symbols  {}\n", profile->symbol_count());
  fmt::print("types    {}, {} structures by name\n", profile->types().type_count(),
             profile->types().structure_names().size());
  return {};
}

Status find_profile(const ProfileOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  FURNACE_TRY(const guest::Kernel kernel, kernel_of(options.source));
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
  const guest::Placement& place = kernel.placement();
  fmt::print("kernel      {}\n", printable(kernel.profile().banner()));
  fmt::print("text        {:#x} (KASLR: moved by {:#x})\n", place.text.value,
             place.text.value - guest::kLinkedText);
  fmt::print("physical    {:#x}\n", place.text_gpa.value);
  fmt::print("page table  {:#x}, {} levels\n", place.table.root.value, place.table.levels);
  fmt::print("symbols     {}\n", kernel.profile().symbol_count());
  fmt::print("types       {}\n", kernel.profile().types().type_count());
  fmt::print("found in    {:.1f} ms\n", took.count());
  return {};
}

Status export_profile(const ProfileOptions& options) {
  const auto format = guest::profile_format(options.format);
  if (!format) return fail(Errc::Invalid, "no format '{}'", options.format);
  FURNACE_TRY(const ProfilePointer profile, open(options));
  FURNACE_TRY(const std::string text, guest::export_profile(*profile, *format));
  if (options.output.empty()) {
    if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
      return fail_errno("standard output");
    return {};
  }
  FURNACE_TRY(const std::string packed, compress(text, compression_for(options.output)));
  return write_file(options.output, packed);
}

}  // namespace furnace::cli
