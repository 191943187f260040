#include "cli/rootfs.h"

#include <algorithm>

#include "base/printable.h"
#include "base/signals.h"
#include "launch/kind.h"
#include "sandbox/rootfs.h"

namespace furnace::cli {
namespace {

std::vector<std::string> root_names() {
  std::vector<std::string> names;
  for (const sandbox::RootKind* kind : launch::kRootKinds) names.emplace_back(kind->name);
  return names;
}

/// `name` is one of root_names().
Status build(const std::string& name, const std::string& directory) {
  FURNACE_TRY(const Fd stop, stop_signals());  // what is half built is removed
  const auto chosen = std::find_if(launch::kRootKinds.begin(), launch::kRootKinds.end(),
                                   [&](const sandbox::RootKind* kind) { return kind->name == name; });
  const std::filesystem::path place =
      directory.empty() ? sandbox::operators_root(**chosen) : std::filesystem::path(directory);
  FURNACE_TRY(const std::string hash, sandbox::build_root(**chosen, place));
  fmt::print("{}\n", hash);
  return {};
}

/// Returns 1 if the root differs from its manifest.
Result<int> verify(const std::string& directory) {
  FURNACE_TRY(const sandbox::Verified verified, sandbox::verify_root(directory));
  for (const std::string& difference : verified.differences) fmt::print("{}\n", printable(difference));
  fmt::print("{} files, {} differences, manifest {}\n", verified.files, verified.differences.size(),
             verified.hash);
  return verified.differences.empty() ? 0 : 1;
}

}  // namespace

void add_rootfs(Commands& commands) {
  auto* rootfs = commands.add_group("rootfs", "Read-only roots of partitions, made from the host's packages");
  const auto kind = std::make_shared<std::string>();
  const auto directory = std::make_shared<std::string>();
  auto* build_command = rootfs->add_subcommand("build", "Build a root; print the hash of its manifest");
  build_command
      ->add_option("KIND", *kind,
                   "app, fac, vmi, reader (furnace ps and others), or forensic (furnace app --forensic)")
      ->required()
      ->check(CLI::IsMember(root_names()));
  build_command->add_option("-o,--output", *directory,
                            "Directory to write; default: the one in $FURNACE_DIR that partitions use");
  commands.on(build_command, [kind, directory] { return build(*kind, *directory); });
  auto* verify_command =
      rootfs->add_subcommand("verify", "Compare a root with its manifest; exit with 1 if it differs");
  verify_command->add_option("DIR", *directory, "The root")->required();
  commands.on(verify_command, [directory] { return verify(*directory); });
}

}  // namespace furnace::cli
