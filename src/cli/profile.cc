#include "cli/profile.h"

#include <cstdio>
#include <filesystem>

#include "base/compression.h"
#include "base/file.h"
#include "base/printable.h"
#include "cli/walls.h"
#include "guest/profile/export.h"
#include "launch/reading.h"

namespace furnace::cli {
namespace {

struct ProfileOptions {
  std::string source;               ///< a profile file, a snapshot, or the name of a VM
  std::string types;                ///< --btf
  std::string format = "isf";       ///< --format
  std::string output;               ///< -o; empty: standard output
  bool unconfined = false;          ///< without the walls around what looks into the guest
  std::vector<std::string> things;  ///< symbols, structures and structure.member
};

using reader::Record;
using reader::RecordKind;

/// A file that is a profile, or what a VM runs.
Status add_source(launch::Reading& reading, const ProfileOptions& options) {
  std::error_code ignored;
  const bool vm =
      !std::filesystem::exists(options.source, ignored) && options.source.find('/') == std::string::npos;
  return vm ? reading.add_vm(options.source) : reading.add_profile_or_vm(options.source, options.types);
}

std::string text_of(const Record& record) {
  const auto number = [&](size_t index) { return record.numbers[index]; };
  const auto name = [&](size_t index) { return printable(record.texts[index]); };
  switch (record.kind) {
    case RecordKind::Summary:
      return fmt::format("kernel   {}\nsymbols  {}\ntypes    {}, {} structures by name\n",
                         record.texts[0].empty() ? "(not in the file)" : name(0), number(0), number(1),
                         number(2));
    case RecordKind::Symbol:
      return fmt::format("{}: {:#x}{}\n", name(0), number(0), number(1) != 0 ? "" : " (not relocated)");
    case RecordKind::Structure:
      return fmt::format("{}: {} bytes\n", name(0), number(0));
    case RecordKind::Member:
      return fmt::format("  {:>6}  {:<32} {}\n", number(0),
                         name(0) + (number(1) != 0 ? fmt::format(":{}", number(1)) : ""), name(1));
    case RecordKind::Offset:
      return fmt::format("{}: {}\n", name(0), number(0));
    default:
      return {};
  }
}

/// Prints a summary, or the things asked for: symbols' addresses as linked, structures with their members,
/// offsets.
Status show_profile(const ProfileOptions& options) {
  launch::Reading reading("show",
                          {RecordKind::Summary, RecordKind::Symbol, RecordKind::Structure, RecordKind::Member,
                           RecordKind::Offset},
                          options.unconfined);
  FURNACE_CHECK(add_source(reading, options));
  for (const std::string& thing : options.things) reading.add_arguments({"--thing=" + thing});
  std::string text;
  const Status shown = reading.run([&](const Record& record) -> Status {
    text += text_of(record);
    return {};
  });
  // What was found is shown also if something else was not.
  std::fwrite(text.data(), 1, text.size(), stdout);
  return shown;
}

/// Finds the kernel in a VM or snapshot and prints where it is.
Status find_profile(const ProfileOptions& options) {
  launch::Reading reading("find", {RecordKind::Kernel}, options.unconfined);
  FURNACE_CHECK(reading.add_vm(options.source));
  return reading.run([](const Record& record) -> Status {
    const auto number = [&](size_t index) { return record.numbers[index]; };
    fmt::print("kernel      {}\n", printable(record.texts[0]));
    fmt::print("text        {:#x} (KASLR: moved by {:#x})\n", number(0), number(0) - guest::kLinkedText);
    fmt::print("physical    {:#x}\n", number(1));
    fmt::print("page table  {:#x}, {} levels\n", number(2), number(3));
    fmt::print("symbols     {}\n", number(4));
    fmt::print("types       {}\n", number(5));
    fmt::print("found in    {:.1f} ms\n", static_cast<double>(number(6)) / 1000);
    return {};
  });
}

Status export_profile(const ProfileOptions& options) {
  if (!guest::profile_format(options.format)) return fail(Errc::Invalid, "no format '{}'", options.format);
  launch::Reading reading("export", {RecordKind::Text}, options.unconfined);
  FURNACE_CHECK(add_source(reading, options));
  reading.add_arguments({"--format", options.format});
  std::string text;
  FURNACE_CHECK(reading.run([&](const Record& record) -> Status {
    text += record.texts[0];
    return {};
  }));
  if (options.output.empty()) {
    if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
      return fail_errno("standard output");
    return {};
  }
  FURNACE_TRY(const std::string packed, compress(text, compression_for(options.output)));
  return write_file(options.output, packed);
}

}  // namespace

void add_profile(Commands& commands) {
  auto* profile = commands.add_group("profile", "Symbols and types of a kernel, for Furnace and other tools");
  const auto options = std::make_shared<ProfileOptions>();
  const auto source = [options](CLI::App* command) {
    command->add_option("SOURCE", options->source, "A profile, a snapshot, or the name of a VM")->required();
    command->add_option("--btf", options->types, "Types for a System.map: a BTF file or a vmlinux");
  };
  auto* show = profile->add_subcommand("show", "Show a summary, or addresses, structures and offsets");
  source(show);
  show->add_option("THING", options->things, "A symbol, a structure, or structure.member");
  add_unconfined(show, options->unconfined);
  commands.on(show, [options] { return show_profile(*options); });
  auto* find = profile->add_subcommand("find", "Find the kernel in a VM's memory, and its address");
  find->add_option("SOURCE", options->source, "The name of a VM, or a snapshot")->required();
  add_unconfined(find, options->unconfined);
  commands.on(find, [options] { return find_profile(*options); });
  auto* write = profile->add_subcommand("export", "Write a profile for other tools");
  source(write);
  write
      ->add_option("--format", options->format,
                   "isf (Volatility 3), rekall (DRAKVUF, LibVMI), system-map, btf, or furnace")
      ->check(CLI::IsMember({"isf", "rekall", "system-map", "btf", "furnace"}))
      ->capture_default_str();
  write->add_option("-o,--output", options->output,
                    "File to write; .gz, .xz and .zst are compressed; default: print");
  add_unconfined(write, options->unconfined);
  commands.on(write, [options] { return export_profile(*options); });
}

}  // namespace furnace::cli
