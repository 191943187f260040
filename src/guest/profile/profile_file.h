// A profile from a file of any form: Furnace's own, Rekall JSON, Volatility 3 ISF, System.map or
// /proc/kallsyms text with types beside it, an unstripped vmlinux. gzip, xz and zstd are unpacked.
#pragma once

#include <filesystem>
#include <memory>
#include <string_view>

#include "base/fd.h"
#include "base/result.h"
#include "guest/profile/profile.h"

namespace furnace::guest {

/// `types`: a BTF file or a vmlinux for forms that have none; may be empty. The error names the file and what
/// is wrong in it.
[[nodiscard]] Result<std::shared_ptr<const Profile>> load_profile(const std::filesystem::path& file,
                                                                  const std::filesystem::path& types = {});

/// The same of files that are open, and of `types` if that is; the names are for errors.
[[nodiscard]] Result<std::shared_ptr<const Profile>> load_profile(const Fd& file, const std::string& name,
                                                                  const Fd& types,
                                                                  const std::string& types_name);

/// The same of text that another program has read, without packing. `name` is for errors.
[[nodiscard]] Result<std::shared_ptr<const Profile>> parse_profile(std::string_view text,
                                                                   std::string_view name);

}  // namespace furnace::guest
