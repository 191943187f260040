// What belongs to an app: its code, its VM, its limits and permissions, its line home. One TOML file.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "sandbox/cgroup.h"

namespace furnace::supervision {

enum class Restart : uint8_t { OnFailure, Always, Never };

struct Address {
  std::string ip;
  uint16_t port = 0;
};

struct Manifest {
  std::string app;                  ///< its id
  std::filesystem::path directory;  ///< of the tenant's data: keys, fac_socket, storage, crashes
  std::filesystem::path code;       ///< without its suffix
  std::string class_name = "App";
  std::string metadata;
  std::vector<std::string> files;  ///< that lie beside the app's
  bool forensic = false;           ///< with what forensic tools need
  Restart restart = Restart::OnFailure;

  struct Vmi {
    std::string name;  ///< of the VM; or a snapshot, or the description of a simulated guest
    std::string driver = "auto";
    std::string profile;
    std::filesystem::path directory;  ///< for its sockets
    uint32_t calls_per_second = 0;
    std::vector<std::string> forbid;
  } vm;

  struct Home {
    Address proxy;                   ///< that FAC connects to
    std::optional<Address> backend;  ///< then the proxy is started here, and connects there
    bool blind = false;              ///< the proxy passes connections on
    uint64_t quota = 0;              ///< bytes that the app may store; 0: FAC's own
  };
  std::optional<Home> home;  ///< without it there is no FAC partition

  struct PartitionLimits {
    std::optional<uint32_t> cpu_percent, processes;
    std::optional<uint64_t> memory_mb;
  };
  PartitionLimits app_limits, fac_limits, vmi_limits;
};

/// `file`: names in it are relative to its directory. The error names file and line.
[[nodiscard]] Result<Manifest> parse_manifest(std::string_view text, const std::filesystem::path& file,
                                              const std::string& app);
[[nodiscard]] Result<Manifest> load_manifest(const std::filesystem::path& file, const std::string& app);

/// Where the manifest of an app is looked for: $FURNACE_DIR/app_storage/tenant_data/APP/furnace.toml.
[[nodiscard]] std::filesystem::path manifest_of(const std::string& app);

/// A partition, or the proxy: `furnace NAME ARGUMENTS`.
struct Part {
  std::string name;
  std::vector<std::string> arguments;
};
[[nodiscard]] std::string to_text(const Part& part);
/// In the order in which they are started.
[[nodiscard]] std::vector<Part> parts_of(const Manifest& manifest);

}  // namespace furnace::supervision
