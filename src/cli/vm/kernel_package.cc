#include "cli/vm/kernel_package.h"

#include <cstdio>
#include <regex>

#include "base/command.h"
#include "base/directories.h"

namespace furnace::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* kMetaPackage = "linux-image-cloud-amd64";

fs::path vmlinuz_in(const fs::path& directory) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(directory / "boot", ignored))
    if (entry.path().filename().string().starts_with("vmlinuz-")) return entry.path();
  return {};
}

/// Returns the package that a meta package depends on now; any other package is returned as it is.
Result<std::string> resolve_package(const std::string& package) {
  const auto depends = run({"apt-cache", "depends", package});
  if (!depends)
    return fail(Errc::NotFound,
                "apt knows no package {} (run apt-get update; or give a kernel with --kernel FILE)", package);
  std::smatch match;
  const std::regex pattern("Depends: (linux-image-[^ \n]+)");
  return std::regex_search(*depends, match, pattern) ? match[1].str() : package;
}

Status download(const std::string& package, const fs::path& target) {
  const fs::path work = target.string() + fmt::format(".{}.tmp", ::getpid());
  std::error_code error;
  fs::create_directories(work, error);
  const Status unpacked = [&]() -> Status {
    std::fprintf(stderr, "fetching %s ...\n", package.c_str());
    if (auto fetched = run({"apt-get", "download", package}, work); !fetched)
      return fail(fetched.error(),
                  fmt::format("kernel package {} (or give a kernel with --kernel FILE)", package));
    fs::path file;
    for (const auto& entry : fs::directory_iterator(work, error))
      if (entry.path().extension() == ".deb") file = entry.path();
    std::fprintf(stderr, "unpacking %s ...\n", file.filename().c_str());
    if (auto extracted = run({"dpkg-deb", "-x", file.string(), (work / "root").string()}); !extracted)
      return tl::unexpected<Error>(extracted.error());
    if (vmlinuz_in(work / "root").empty())
      return fail(Errc::Invalid, "package {} holds no boot/vmlinuz-*", package);
    fs::remove_all(work / "root/lib", error);  // modules: nothing here loads them
    fs::rename(work / "root", target, error);
    if (error && vmlinuz_in(target).empty())
      return fail(Errc::Failed, "{}: {}", target.string(), error.message());
    return {};
  }();
  fs::remove_all(work, error);
  return unpacked;
}

}  // namespace

Result<fs::path> fetch_kernel(std::string package) {
  FURNACE_TRY(const Directory cache, Directory::make(cache_directory() / "kernels", Care::Content));
  const fs::path& kernels = cache.path();
  std::error_code ignored;
  if (package.empty()) {
    fs::path cached;
    for (const auto& entry : fs::directory_iterator(kernels, ignored))
      if (entry.path().filename().string().starts_with("linux-image-6.1.") && entry.path() > cached &&
          !vmlinuz_in(entry.path()).empty())
        cached = entry.path();
    if (!cached.empty()) return vmlinuz_in(cached);
  }
  for (const char* tool : {"apt-get", "dpkg-deb"})
    if (find_program(tool).empty())
      return fail(Errc::NotFound, "{} is missing, so no kernel can be fetched; give one with --kernel FILE",
                  tool);
  if (package.empty()) package = kMetaPackage;
  static const std::regex name("linux-image-[a-z0-9.+~-]+");
  if (!std::regex_match(package, name))
    return fail(Errc::Invalid, "'{}' is not the name of a kernel package (linux-image-...)", package);
  if (const fs::path cached = vmlinuz_in(kernels / package); !cached.empty()) return cached;
  FURNACE_TRY(package, resolve_package(package));
  const fs::path target = kernels / package;
  if (vmlinuz_in(target).empty()) FURNACE_CHECK(download(package, target));
  return vmlinuz_in(target);
}

}  // namespace furnace::cli
