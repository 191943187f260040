#include "hypervisor/qemu/register_layout.h"

#include <algorithm>

#include "base/printable.h"
#include "base/text.h"

namespace furnace::hypervisor {
namespace {

constexpr size_t kMaxRegisters = 512;
constexpr unsigned kMaxBits = 4096;

/// The value of an attribute in the text of an element.
std::string_view attribute(std::string_view element, std::string_view name) {
  const std::string key = fmt::format(" {}=\"", name);
  const size_t start = element.find(key);
  if (start == std::string_view::npos) return {};
  const std::string_view value = element.substr(start + key.size());
  return value.substr(0, value.find('"'));
}

std::string without_comments(std::string_view xml) {
  std::string text;
  while (!xml.empty()) {
    const size_t start = xml.find("<!--");
    text += xml.substr(0, start);
    if (start == std::string_view::npos) break;
    const size_t end = xml.find("-->", start);
    xml.remove_prefix(end == std::string_view::npos ? xml.size() : end + 3);
  }
  return text;
}

/// Little-endian bytes written as pairs of digits.
std::optional<uint64_t> little_endian(std::string_view digits) {
  uint64_t value = 0;
  for (size_t i = 0; i < digits.size(); i += 2) {
    const auto byte = parse_number<unsigned>(digits.substr(i, 2), 16);
    if (!byte) return std::nullopt;
    value |= uint64_t{*byte} << (4 * i);
  }
  return value;
}

/// The register that a target description has under this name (QEMU: gdb-xml/i386-64bit.xml).
std::optional<Reg> named_by_gdb(std::string_view name) {
  if (name == "eflags") return Reg::Rflags;
  if (name == "k_gs_base") return Reg::KernelGsBase;
  return register_named(name);
}

}  // namespace

Result<RegisterLayout> RegisterLayout::parse(std::string_view xml) {
  RegisterLayout layout;
  const std::string text = without_comments(xml);
  unsigned next_number = 0;
  for (size_t at = text.find("<reg "); at != std::string::npos; at = text.find("<reg ", at + 1)) {
    const std::string_view element = std::string_view(text).substr(at, text.find('>', at) - at);
    const std::string_view name = attribute(element, "name");
    const unsigned bits = parse_number<unsigned>(attribute(element, "bitsize")).value_or(0);
    if (name.empty() || bits == 0 || bits % 8 != 0 || bits > kMaxBits ||
        layout.slots_.size() >= kMaxRegisters)
      return fail(Errc::Invalid, "gdb stub: target description: register {}: name '{}' of {} bits",
                  layout.slots_.size(), printable(name.substr(0, 40)), bits);
    next_number = parse_number<unsigned>(attribute(element, "regnum")).value_or(next_number);
    const auto reg = bits <= 64 ? named_by_gdb(name) : std::nullopt;
    layout.slots_.push_back({reg, next_number++, bits / 8});
  }
  std::vector<Reg> all_needed(kOfEveryEvent.begin(), kOfEveryEvent.end());
  all_needed.insert(all_needed.end(), {Reg::Rflags, Reg::GsBase});  // per-CPU data is reached by the latter
  for (const Reg needed : all_needed)
    if (!layout.number(needed))
      return fail(Errc::Invalid,
                  "gdb stub: its target description has no register {}: QEMU 5.0 or later on an x86-64 guest "
                  "is needed",
                  name_of(needed));
  return layout;
}

std::optional<unsigned> RegisterLayout::number(Reg reg) const {
  const auto found =
      std::find_if(slots_.begin(), slots_.end(), [&](const Slot& slot) { return slot.reg == reg; });
  if (found == slots_.end()) return std::nullopt;
  return found->number;
}

Result<Registers> RegisterLayout::decode(std::string_view answer) const {
  Registers registers;
  for (const Slot& slot : slots_) {
    const size_t digits = 2 * slot.bytes;
    if (answer.size() < digits) break;
    if (slot.reg)
      if (const auto value = little_endian(answer.substr(0, digits))) registers.set(*slot.reg, *value);
    answer.remove_prefix(digits);
  }
  return complete(registers, "gdb stub", kOfEveryEvent);
}

}  // namespace furnace::hypervisor
