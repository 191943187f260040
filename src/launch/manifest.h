// What belongs to an app: its code, its VM, its limits and permissions, its line home. One TOML file.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "launch/problems.h"

namespace furnace::launch {

enum class Restart : uint8_t { OnFailure, Always, Never };

/// At most `burst` starts of a part within an interval (systemd.unit(5): StartLimitBurst and
/// StartLimitIntervalSec); no limit if the interval is 0. The default lets a part fail at once for a minute.
struct StartLimit {
  unsigned burst = 8;
  unsigned interval_seconds = 300;
};

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
  bool raw_output = false;         ///< what the app prints acts on a terminal
  Restart restart = Restart::OnFailure;
  StartLimit start_limit;
  bool wait_for_vm = false;  ///< that is not there yet, or has ended

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
    std::optional<uint64_t> quota;   ///< bytes that the app may store, if not FAC's own default
  };
  std::optional<Home> home;  ///< without it there is no FAC partition

  struct PartitionLimits {
    std::optional<uint32_t> cpu_percent, processes;
    std::optional<uint64_t> memory_mb;
  };
  PartitionLimits app_limits, fac_limits, vmi_limits;
};

/// `file`: names in it are relative to its directory. Each problem names file and line; with problems the
/// manifest is what could be read, and nothing if the text is no TOML.
[[nodiscard]] std::optional<Manifest> read_manifest(std::string_view text, const std::filesystem::path& file,
                                                    const std::string& app, Problems& problems);
[[nodiscard]] std::optional<Manifest> load_manifest(const std::filesystem::path& file, const std::string& app,
                                                    Problems& problems);

/// Where the manifest of an app is looked for: $FURNACE_DIR/app_storage/tenant_data/APP/furnace.toml.
[[nodiscard]] std::filesystem::path manifest_of(const std::string& app);

}  // namespace furnace::launch
