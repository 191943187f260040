#include "guest/profile/parts.h"

#include <algorithm>

namespace furnace::guest {

Result<std::shared_ptr<const Profile>> ProfileParts::build() && {
  if (symbols.empty()) return fail(Errc::Invalid, "no symbols: types without symbols are not a profile");
  if (types.empty())
    return fail(Errc::Invalid, "no types: add them with --btf FILE (a BTF file or a vmlinux)");
  const auto text = std::find_if(symbols.begin(), symbols.end(),
                                 [](const Symbol& symbol) { return symbol.name == "_text"; });
  if (text == symbols.end()) return fail(Errc::Invalid, "no symbol _text, from which addresses are counted");
  if (text->address == 0)
    return fail(Errc::Invalid,
                "symbol _text is at 0: the addresses were hidden (read /proc/kallsyms as root, with "
                "kernel.kptr_restrict=0)");
  ProfileBuilder builder;
  builder.set_banner(banner);
  builder.set_types(std::move(types));
  const uint64_t start = text->address;
  builder.reserve(symbols.size());
  for (Symbol& symbol : symbols)
    builder.add_symbol(std::move(symbol.name), symbol.address, start, symbol.type);
  return std::move(builder).build();
}

}  // namespace furnace::guest
