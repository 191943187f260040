#include "guest/profile/vmlinux.h"

#include <gelf.h>

#include <memory>

#include "base/bytes.h"

namespace furnace::guest {
namespace {

using Handle = std::unique_ptr<Elf, int (*)(Elf*)>;

/// nm's letter, as far as kallsyms has it: text, data, absolute, weak; small for local symbols.
char letter(const GElf_Sym& symbol) {
  const bool local = GELF_ST_BIND(symbol.st_info) == STB_LOCAL;
  if (symbol.st_shndx == SHN_ABS) return local ? 'a' : 'A';
  if (GELF_ST_BIND(symbol.st_info) == STB_WEAK) return 'W';
  const char kind = GELF_ST_TYPE(symbol.st_info) == STT_FUNC ? 'T' : 'D';
  return local ? static_cast<char>(kind + ('a' - 'A')) : kind;
}

void read_symbols(Elf* elf, Elf_Scn* section, const GElf_Shdr& header, ProfileParts& parts) {
  Elf_Data* data = elf_getdata(section, nullptr);
  if (data == nullptr || header.sh_entsize == 0) return;
  const size_t count = header.sh_size / header.sh_entsize;
  for (size_t i = 1; i < count && i <= INT32_MAX; ++i) {
    GElf_Sym symbol;
    if (gelf_getsym(data, static_cast<int>(i), &symbol) == nullptr) return;
    const auto type = GELF_ST_TYPE(symbol.st_info);
    if (type == STT_FILE || type == STT_SECTION || symbol.st_shndx == SHN_UNDEF) continue;
    const char* name = elf_strptr(elf, header.sh_link, symbol.st_name);
    if (name != nullptr && *name != '\0') parts.symbols.push_back({name, symbol.st_value, letter(symbol)});
  }
}

}  // namespace

Result<ProfileParts> parse_vmlinux(std::span<const std::byte> file) {
  if (elf_version(EV_CURRENT) == EV_NONE) return fail(Errc::Failed, "libelf: {}", elf_errmsg(-1));
  // libelf takes a writable buffer; it is opened for reading.
  const Handle elf(elf_memory(reinterpret_cast<char*>(const_cast<std::byte*>(file.data())), file.size()),
                   elf_end);
  GElf_Ehdr header;
  if (!elf || elf_kind(elf.get()) != ELF_K_ELF || gelf_getehdr(elf.get(), &header) == nullptr)
    return fail(Errc::Invalid, "not an ELF file: {}", elf_errmsg(-1));
  if (gelf_getclass(elf.get()) != ELFCLASS64 || header.e_machine != EM_X86_64)
    return fail(Errc::Invalid, "an ELF file for another machine than x86-64 (e_machine {})",
                header.e_machine);
  size_t names = 0;
  if (elf_getshdrstrndx(elf.get(), &names) != 0)
    return fail(Errc::Invalid, "ELF: no section names: {}", elf_errmsg(-1));

  ProfileParts parts;
  for (Elf_Scn* section = nullptr; (section = elf_nextscn(elf.get(), section)) != nullptr;) {
    GElf_Shdr section_header;
    if (gelf_getshdr(section, &section_header) == nullptr) continue;
    if (section_header.sh_type == SHT_SYMTAB) read_symbols(elf.get(), section, section_header, parts);
    const char* name = elf_strptr(elf.get(), names, section_header.sh_name);
    if (name == nullptr || std::string_view(name) != ".BTF") continue;
    const Elf_Data* data = elf_rawdata(section, nullptr);
    if (data == nullptr || data->d_buf == nullptr)
      return fail(Errc::Invalid, "section .BTF: {}", elf_errmsg(-1));
    const auto* bytes = static_cast<const std::byte*>(data->d_buf);
    parts.types.assign(bytes, bytes + data->d_size);
  }
  return parts;
}

}  // namespace furnace::guest
