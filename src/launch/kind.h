// The kinds of partitions that a command starts: all that `furnace NAME`, `furnace run` and its --check,
// `furnace rootfs` and `furnace setup` need to know of each. A kind is one file: app.cc, fac.cc, vmi.cc.
#pragma once

#include <CLI/CLI.hpp>
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "launch/launch_options.h"
#include "launch/part.h"
#include "sandbox/partition.h"
#include "sandbox/rootfs.h"

namespace furnace::launch {

/// One start of a partition, from its command line on.
class Start {
 public:
  virtual ~Start() = default;
  /// Adds those of the partition's program, and what the launcher takes only for this kind; those that it
  /// takes for each kind are there already.
  virtual void add_options(CLI::App& flags) = 0;
  /// Returns the app's id, or the VM's name: the partition is named after it.
  [[nodiscard]] virtual const std::string& id() const = 0;
  [[nodiscard]] virtual const sandbox::RootKind& root() const = 0;
  /// Makes what is peculiar to the kind: view, handles, account, policy, the program's arguments.
  [[nodiscard]] virtual Result<sandbox::Partition> make_partition(const CLI::App& flags,
                                                                  LaunchOptions& launching) = 0;
  /// Returns descriptors that the program must hold if it runs without a partition.
  [[nodiscard]] virtual Result<std::vector<Fd>> locks() const { return std::vector<Fd>(); }
};

struct Kind {
  const char* name;     ///< of the command; the program in the partition is furnace-NAME
  const char* summary;  ///< for `furnace --help`
  const char* title;    ///< for `furnace NAME --help`
  std::unique_ptr<Start> (*start)();
  /// Returns its command in `furnace run`, of a manifest that asks for this kind.
  Part (*part)(const Manifest& manifest);
};

[[nodiscard]] const Kind& vmi_kind();
[[nodiscard]] const Kind& app_kind();
[[nodiscard]] const Kind& fac_kind();
[[nodiscard]] std::array<const Kind*, 3> kinds();

/// Roots: of these kinds, of readers (reader.h), and of apps with forensic tools.
inline constexpr sandbox::RootKind kVmiRoot{"vmi", "furnace-vmi", false};
inline constexpr sandbox::RootKind kAppRoot{"app", "furnace-app", true};
inline constexpr sandbox::RootKind kFacRoot{"fac", "furnace-fac", false};
inline constexpr sandbox::RootKind kReaderRoot{"reader", "furnace-reader", false};
inline constexpr sandbox::RootKind kForensicRoot{"forensic", "furnace-app", true, "yara"};
inline constexpr std::array kRootKinds{&kAppRoot, &kFacRoot, &kVmiRoot, &kReaderRoot, &kForensicRoot};

}  // namespace furnace::launch
