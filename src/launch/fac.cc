// The kind "fac": a FAC partition, storage and messages of one app.
#include "launch/options/fac.h"

#include <filesystem>

#include "base/places.h"
#include "launch/additions.h"
#include "launch/kind.h"
#include "protocol/certificate.h"
#include "protocol/server_keys.h"
#include "protocol/socket_files.h"
#include "sandbox/account.h"
#include "sandbox/policy/policy.h"

namespace furnace::launch {
namespace {

namespace fs = std::filesystem;
using sandbox::Partition;

class FacStart : public Start {
 public:
  void add_options(CLI::App& flags) override;
  [[nodiscard]] const std::string& id() const override { return options_.app; }
  [[nodiscard]] const sandbox::RootKind& root() const override { return kFacRoot; }
  [[nodiscard]] Result<Partition> make_partition(const CLI::App& flags, LaunchOptions& launching) override;

 private:
  FacOptions options_;
};

void FacStart::add_options(CLI::App& flags) {
  launch::add_options(flags, options_);
}

Result<Partition> FacStart::make_partition(const CLI::App& flags, LaunchOptions& /*launching*/) {
  Partition partition;
  partition.policy_name = "fac";
  fs::path directory = fs::absolute(options_.directory).lexically_normal();
  if (!directory.has_filename()) directory = directory.parent_path();
  FURNACE_TRY(const Directory sockets, Directory::make(directory, Care::Content));
  // The layout of a tenant's data: fac_socket/ and storage/ side by side (wire.md section 6).
  FURNACE_TRY(const Directory storage,
              Directory::make(
                  options_.storage.empty() ? directory.parent_path() / "storage" : fs::path(options_.storage),
                  Care::Content));
  partition.account = sandbox::account_of(sockets);
  FURNACE_CHECK(add_writable(partition, sockets, places::kFacilities));
  partition.tidy = [path = sockets.path()] { protocol::remove_sockets(path, protocol::kFacilitySockets); };
  FURNACE_CHECK(add_writable(partition, storage, places::kStorage));
  // Said here, where the files have their own names.
  const fs::path key_file = fs::path(options_.keys) / "app.key";
  FURNACE_TRY(const auto own_key, protocol::load_secret(key_file));
  FURNACE_CHECK(protocol::check_owner(own_key, options_.app, key_file.string()));
  FURNACE_TRY(const auto backend_keys, protocol::ServerKeys::load(fs::path(options_.keys) / "be.pub"));
  for (const char* key : {"app.key", "be.pub"})
    FURNACE_CHECK(add_file(partition, fs::path(options_.keys) / key, fs::path(places::kKeys) / key));
  std::error_code error;
  if (const fs::path previous = protocol::previous_of(fs::path(options_.keys) / "be.pub");
      fs::exists(previous, error))
    FURNACE_CHECK(add_file(partition, previous, fs::path(places::kKeys) / previous.filename()));
  partition.view.network = true;
  policy::Policy own;
  for (const uint16_t port : {options_.proxy_port, static_cast<uint16_t>(options_.proxy_port + 1)}) {
    FURNACE_TRY(const policy::AddressTest address,
                policy::AddressTest::parse(fmt::format("{}:{}", options_.proxy_ip, port)));
    for (const policy::Level level : policy::kLevels) own.allow_address(level, address);
    partition.ports.push_back(port);
  }
  partition.policy = std::move(own);
  partition.command = command_line(flags, {{"--kp", places::kKeys},
                                           {"--fac", places::kFacilities},
                                           {"--storage", places::kStorage},
                                           {"--metrics", std::nullopt}});
  FURNACE_CHECK(lend_metrics(partition, options_.metrics));
  partition.command.emplace_back("--in-partition");
  return partition;
}

Part fac_part(const Manifest& manifest) {
  const Manifest::Home& home = *manifest.home;
  Part part{"fac",
            {"--u2", manifest.app, "--kp", manifest.directory, "--ip", home.proxy.ip, "--it",
             std::to_string(home.proxy.port), "--fac", manifest.directory / "fac_socket", "--storage",
             manifest.directory / "storage"}};
  if (home.quota) part.add({"--qt", fmt::format("_furnace_max_disk:{}", *home.quota)});
  if (home.blind) part.add({"--blind"});
  part.add(manifest.fac_limits);
  return part;
}

}  // namespace

const Kind& fac_kind() {
  static constexpr Kind kind{"fac", "FAC partition: stores values and passes on messages of an app",
                             "FAC partition: storage and messages of one app",
                             [] { return std::unique_ptr<Start>(new FacStart); }, fac_part};
  return kind;
}

}  // namespace furnace::launch
