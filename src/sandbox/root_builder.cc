#include "sandbox/root_builder.h"

#include <sodium/crypto_hash_sha256.h>

#include <array>
#include <set>

#include "base/command.h"
#include "base/file.h"
#include "base/signals.h"
#include "base/text.h"

namespace furnace::sandbox {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxFile = size_t{1} << 30;

/// Where a file is on a host whose /lib is /usr/lib.
std::string merged(const fs::path& path) {
  const std::string text = path.lexically_normal().string();
  return text.starts_with("/lib") ? "/usr" + text : text;
}

/// dpkg's with its arguments; what it does not know is not there.
Result<std::string> ask_dpkg(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"/bin/sh", "-c", "dpkg-query \"$@\" 2>/dev/null || true", "sh"});
  return run(arguments);
}

/// The packages of files, by merged path.
Result<std::map<std::string, std::string>> packages_of(const std::set<std::string>& files) {
  std::vector<std::string> question{"-S"};
  for (const std::string& file : files) {
    question.push_back(file);
    // The database has the path that the package was built with.
    if (file.starts_with("/usr/lib")) question.push_back(file.substr(4));
  }
  FURNACE_TRY(const std::string answer, ask_dpkg(question));
  std::map<std::string, std::string> packages;
  for (const std::string_view line : lines(answer))
    if (const size_t at = line.find(": /"); at != std::string_view::npos)
      packages[merged(line.substr(at + 2))] = line.substr(0, at);
  return packages;
}

Result<std::map<std::string, std::string>> versions_of(const std::map<std::string, std::string>& packages) {
  std::set<std::string> names;
  for (const auto& [file, package] : packages) names.insert(package);
  std::map<std::string, std::string> versions;
  if (names.empty()) return versions;
  std::vector<std::string> question{"-W", "-f=${binary:Package} ${Version}\n"};
  for (const std::string& name : names) question.push_back(name);
  FURNACE_TRY(const std::string answer, ask_dpkg(question));
  for (const std::string_view line : lines(answer)) {
    const Cut parts = cut(line, ' ');
    if (!parts.found) continue;
    versions[std::string(parts.before)] = parts.after;
    versions[std::string(cut(parts.before, ':').before)] = parts.after;
  }
  return versions;
}

}  // namespace

std::string sha256(std::string_view data) {
  std::array<unsigned char, crypto_hash_sha256_BYTES> hash{};
  crypto_hash_sha256(hash.data(), reinterpret_cast<const unsigned char*>(data.data()), data.size());
  std::string text;
  for (const unsigned char byte : hash) text += fmt::format("{:02x}", byte);
  return text;
}

Status RootBuilder::make_directory(std::string_view path) const {
  std::error_code error;
  fs::create_directories(root_ / path, error);
  if (error) return fail(Errc::Failed, "{}: {}", (root_ / path).string(), error.message());
  return {};
}

Status RootBuilder::make_link(std::string_view path, std::string_view target) const {
  std::error_code error;
  fs::create_symlink(target, root_ / path, error);
  if (error) return fail(Errc::Failed, "{}: {}", (root_ / path).string(), error.message());
  return {};
}

Status RootBuilder::copy(const fs::path& from, std::string_view path, unsigned mode) {
  FURNACE_CHECK(check_interrupted());
  FURNACE_TRY(const std::string content, read_file(from, kMaxFile));
  FURNACE_CHECK(make_directory(fs::path(path).parent_path().string()));
  FURNACE_CHECK(write_file(root_ / path, content, mode));
  entries_[std::string(path)] = {sha256(content), from};
  return {};
}

Status RootBuilder::copy_with_libraries(const std::vector<fs::path>& files) {
  for (const fs::path& file : files) FURNACE_CHECK(copy(file, merged(file).substr(1)));
  return copy_libraries_of(files);
}

Status RootBuilder::copy_libraries_of(const std::vector<fs::path>& files) {
  std::vector<std::string> command{"ldd"};
  for (const fs::path& file : files) command.push_back(file.string());
  FURNACE_TRY(const std::string listing, run(command));
  Status done;
  // "libzmq.so.5 => /lib/x86_64-linux-gnu/libzmq.so.5 (0x...)", "/lib64/ld-linux-x86-64.so.2 (0x...)"
  for (const std::string_view line : lines(listing)) {
    const size_t slash = line.find('/'), address = line.find(" (0x");
    if (!done || !line.starts_with('\t') || slash == std::string_view::npos ||
        address == std::string_view::npos)
      continue;
    const fs::path library = line.substr(slash, address - slash);
    const bool loader = library.filename().string().starts_with("ld-linux");
    const std::string place = merged(library).substr(1);
    if (!entries_.contains(place)) done = copy(library, place, loader ? 0755 : 0644);
  }
  return done;
}

Status RootBuilder::account(std::string_view path, const fs::path& source) {
  FURNACE_TRY(const std::string content, read_file(root_ / path, kMaxFile));
  entries_[std::string(path)] = {sha256(content), source};
  return {};
}

Status RootBuilder::account_part(std::string_view path, const fs::path& source) {
  FURNACE_CHECK(check_interrupted());
  FURNACE_TRY(const std::string content, read_file(source, kMaxFile));
  entries_[std::string(path)] = {sha256(content), source};
  return {};
}

Result<std::string> RootBuilder::manifest() const {
  std::set<std::string> sources;
  for (const auto& [path, entry] : entries_)
    if (!entry.source.empty()) sources.insert(merged(entry.source));
  FURNACE_TRY(const auto packages, packages_of(sources));
  FURNACE_TRY(const auto versions, versions_of(packages));
  std::string text;
  for (const auto& [path, entry] : entries_) {
    const auto package = packages.find(merged(entry.source));
    const auto version = package != packages.end() ? versions.find(package->second) : versions.end();
    text += fmt::format("{} {} {} {}\n", entry.hash, path,
                        package != packages.end() ? package->second : "furnace",
                        version != versions.end() ? version->second : FURNACE_VERSION);
  }
  return text;
}

}  // namespace furnace::sandbox
