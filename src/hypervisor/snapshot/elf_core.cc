#include "hypervisor/snapshot/elf_core.h"

#include <elf.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/bytes.h"

namespace furnace::hypervisor {
namespace {

constexpr uint64_t kMaxHeaders = 1 << 18;
constexpr uint64_t kMaxNotes = 16 << 20;                  // a thousand vCPUs take 1 MB
constexpr std::string_view kNoteName{"QEMU\0\0\0\0", 8};  // padded to 4 bytes

struct Segment {
  uint32_t selector, limit, flags, pad;
  uint64_t base;
};

/// QEMUCPUState of target/i386/arch_dump.c.
struct CpuState {
  uint32_t version, size;
  std::array<uint64_t, 18> general;
  std::array<Segment, 10> segments;
  std::array<uint64_t, 5> cr;
  uint64_t kernel_gs_base;
};
constexpr std::array kGeneral = {Reg::Rax, Reg::Rbx, Reg::Rcx, Reg::Rdx, Reg::Rsi, Reg::Rdi,
                                 Reg::Rsp, Reg::Rbp, Reg::R8,  Reg::R9,  Reg::R10, Reg::R11,
                                 Reg::R12, Reg::R13, Reg::R14, Reg::R15, Reg::Rip, Reg::Rflags};
struct SegmentRegisters {
  std::optional<Reg> selector;  ///< the tables of descriptors have none
  Reg base;
};
constexpr std::array kSegments = {
    SegmentRegisters{Reg::Cs, Reg::CsBase},     SegmentRegisters{Reg::Ds, Reg::DsBase},
    SegmentRegisters{Reg::Es, Reg::EsBase},     SegmentRegisters{Reg::Fs, Reg::FsBase},
    SegmentRegisters{Reg::Gs, Reg::GsBase},     SegmentRegisters{Reg::Ss, Reg::SsBase},
    SegmentRegisters{Reg::Ldtr, Reg::LdtrBase}, SegmentRegisters{Reg::Tr, Reg::TrBase},
    SegmentRegisters{{}, Reg::GdtrBase},        SegmentRegisters{{}, Reg::IdtrBase}};
/// Their numbers are indices of CpuState::cr. The CPU has no CR1.
constexpr std::array kControl = {std::pair{0, Reg::Cr0}, std::pair{2, Reg::Cr2}, std::pair{3, Reg::Cr3},
                                 std::pair{4, Reg::Cr4}};
static_assert(kGeneral.size() == std::tuple_size_v<decltype(CpuState::general)> &&
              kSegments.size() == std::tuple_size_v<decltype(CpuState::segments)>);

Registers registers_of(const CpuState& state) {
  Registers registers;
  for (size_t i = 0; i < kGeneral.size(); ++i) registers.set(kGeneral[i], state.general[i]);
  for (size_t i = 0; i < kSegments.size(); ++i) {
    if (kSegments[i].selector) registers.set(*kSegments[i].selector, state.segments[i].selector);
    registers.set(kSegments[i].base, state.segments[i].base);
  }
  for (const auto& [number, reg] : kControl) registers.set(reg, state.cr.at(number));
  registers.set(Reg::KernelGsBase, state.kernel_gs_base);
  return registers;
}

/// The format has a place for each register, also for those that the hypervisor does not give.
CpuState state_of(const Registers& registers) {
  const auto given = [&](Reg reg) { return registers.get(reg).value_or(0); };
  CpuState state{};
  state.version = 1;
  state.size = sizeof state;
  for (size_t i = 0; i < kGeneral.size(); ++i) state.general[i] = given(kGeneral[i]);
  for (size_t i = 0; i < kSegments.size(); ++i) {
    if (kSegments[i].selector)
      state.segments[i].selector = static_cast<uint32_t>(given(*kSegments[i].selector));
    state.segments[i].base = given(kSegments[i].base);
  }
  for (const auto& [number, reg] : kControl) state.cr.at(number) = given(reg);
  state.kernel_gs_base = given(Reg::KernelGsBase);
  return state;
}

/// The vCPUs of the notes that QEMU writes; other notes are passed over.
void read_notes(std::span<const std::byte> notes, std::vector<Registers>& vcpus) {
  const auto padded = [](uint64_t size) { return (size + 3) & ~uint64_t{3}; };
  for (uint64_t at = 0;;) {
    const auto note = load<Elf64_Nhdr>(notes, at);
    if (!note) return;
    const uint64_t name = at + sizeof *note;
    const uint64_t content = name + padded(note->n_namesz);
    at = content + padded(note->n_descsz);
    if (at > notes.size()) return;
    const auto named = as_text(notes.subspan(name, note->n_namesz));
    const auto state = load<CpuState>(notes, content);
    if (until_nul(named) == "QEMU" && state && note->n_descsz >= sizeof *state)
      vcpus.push_back(registers_of(*state));
  }
}

template <typename T>
Result<T> read_struct(const ImageFile& file, uint64_t offset, std::string_view what) {
  T value;
  if (file.read(offset, std::as_writable_bytes(std::span(&value, 1))) != sizeof value)
    return fail(Errc::Invalid, "ELF core: truncated: no {} at {:#x}", what, offset);
  return value;
}

/// The number of program headers; past 65534 it is in the first section header (elf(5), PN_XNUM).
Result<uint64_t> header_count(const ImageFile& file, const Elf64_Ehdr& header) {
  if (header.e_phnum != PN_XNUM) return header.e_phnum;
  FURNACE_TRY(const auto section, read_struct<Elf64_Shdr>(file, header.e_shoff, "section header"));
  return section.sh_info;
}

template <typename T>
void append(std::vector<std::byte>& to, const T& value) {
  const auto bytes = std::as_bytes(std::span(&value, 1));
  to.insert(to.end(), bytes.begin(), bytes.end());
}

}  // namespace

Result<SnapshotLayout> read_elf_core(const ImageFile& file) {
  FURNACE_TRY(const auto header, read_struct<Elf64_Ehdr>(file, 0, "header"));
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != EM_X86_64)
    return fail(Errc::Invalid, "ELF core: not of an x86-64 guest (machine {})", header.e_machine);
  if (header.e_type != ET_CORE)
    return fail(Errc::Invalid, "ELF file, but not a core file (type {})", header.e_type);
  FURNACE_TRY(const uint64_t count, header_count(file, header));
  if (count > kMaxHeaders || header.e_phentsize != sizeof(Elf64_Phdr))
    return fail(Errc::Invalid, "ELF core: {} program headers of {} bytes", count, header.e_phentsize);

  SnapshotLayout layout{"ELF core", {}, {}};
  for (uint64_t i = 0; i < count; ++i) {
    FURNACE_TRY(const auto part,
                read_struct<Elf64_Phdr>(file, header.e_phoff + i * sizeof(Elf64_Phdr), "program header"));
    const bool inside = part.p_offset <= file.size() && part.p_filesz <= file.size() - part.p_offset;
    if ((part.p_type == PT_LOAD || part.p_type == PT_NOTE) && !inside)
      return fail(Errc::Invalid, "ELF core: truncated: segment {} takes {} bytes from {:#x}, the file has {}",
                  i, part.p_filesz, part.p_offset, file.size());
    if (part.p_type == PT_NOTE && part.p_filesz <= kMaxNotes) {
      std::vector<std::byte> notes(part.p_filesz);
      notes.resize(file.read(part.p_offset, notes));
      read_notes(notes, layout.vcpus);
    }
    if (part.p_type != PT_LOAD || part.p_memsz == 0) continue;
    if (part.p_memsz < part.p_filesz || part.p_paddr + part.p_memsz < part.p_paddr || part.p_memsz >> 48 != 0)
      return fail(Errc::Invalid, "ELF core: segment {} holds {} bytes of {} at {:#x}", i, part.p_filesz,
                  part.p_memsz, part.p_paddr);
    layout.pieces.push_back(
        {{guest::Gpa{part.p_paddr}, guest::Gpa{part.p_paddr + part.p_memsz}}, part.p_offset, part.p_filesz});
  }
  if (layout.pieces.empty()) return fail(Errc::Invalid, "ELF core: no memory in it");
  // With paging, QEMU writes a segment for each virtual mapping: the same memory again and again.
  layout.pieces = without_overlap(std::move(layout.pieces));
  return layout;
}

std::vector<std::byte> elf_core_head(const std::vector<guest::GpaRange>& ranges,
                                     const std::vector<Registers>& vcpus) {
  std::vector<std::byte> notes;
  for (const Registers& registers : vcpus) {
    append(notes, Elf64_Nhdr{5, sizeof(CpuState), 0});
    const auto name = as_bytes(kNoteName);
    notes.insert(notes.end(), name.begin(), name.end());
    append(notes, state_of(registers));
  }
  const uint64_t notes_offset = sizeof(Elf64_Ehdr) + (ranges.size() + 1) * sizeof(Elf64_Phdr);
  const uint64_t size = (notes_offset + notes.size() + guest::kPageSize - 1) & ~(guest::kPageSize - 1);

  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_ident[EI_VERSION] = EV_CURRENT;
  header.e_type = ET_CORE;
  header.e_machine = EM_X86_64;
  header.e_version = EV_CURRENT;
  header.e_phoff = header.e_ehsize = sizeof header;
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phnum = static_cast<uint16_t>(ranges.size() + 1);  // RAM has a handful of ranges
  std::vector<std::byte> head;
  append(head, header);
  append(head, Elf64_Phdr{.p_type = PT_NOTE,
                          .p_flags = 0,
                          .p_offset = notes_offset,
                          .p_vaddr = 0,
                          .p_paddr = 0,
                          .p_filesz = notes.size(),
                          .p_memsz = notes.size(),
                          .p_align = 0});
  uint64_t offset = size;
  for (const guest::GpaRange& range : ranges) {
    append(head, Elf64_Phdr{.p_type = PT_LOAD,
                            .p_flags = PF_R | PF_W | PF_X,
                            .p_offset = offset,
                            .p_vaddr = 0,
                            .p_paddr = range.start.value,
                            .p_filesz = range.size(),
                            .p_memsz = range.size(),
                            .p_align = 0});
    offset += range.size();
  }
  head.insert(head.end(), notes.begin(), notes.end());
  head.resize(size);
  return head;
}

}  // namespace furnace::hypervisor
