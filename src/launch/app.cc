// The kind "app": an APP partition, which runs a tenant's app.
#include "launch/options/app.h"

#include <filesystem>

#include "base/places.h"
#include "base/shared_object.h"
#include "launch/additions.h"
#include "launch/app_sockets.h"
#include "launch/kind.h"
#include "protocol/framing.h"

namespace furnace::launch {
namespace {

namespace fs = std::filesystem;
using sandbox::Partition;

class AppStart : public Start {
 public:
  void add_options(CLI::App& flags) override;
  [[nodiscard]] const std::string& id() const override { return options_.app; }
  [[nodiscard]] const sandbox::RootKind& root() const override {
    return forensic_ ? kForensicRoot : kAppRoot;
  }
  [[nodiscard]] Result<Partition> make_partition(const CLI::App& flags, LaunchOptions& launching) override;
  [[nodiscard]] Result<std::vector<Fd>> locks() const override { return lock_app(options_); }

 private:
  AppOptions options_;
  bool forensic_ = false, common_socket_ = false;
  std::vector<std::string> files_;
};

void AppStart::add_options(CLI::App& flags) {
  launch::add_options(flags, options_);
  flags
      .add_flag("--forensic", forensic_,
                "With what forensic tools need: Python's yara, and its policy (python3-yara)")
      ->group(kConfinement);
  flags
      .add_flag("--common-socket", common_socket_,
                "For a VMI partition of another make, which has one socket for all apps: this app could "
                "call itself another one there")
      ->group(kConfinement);
  flags.add_option("--add", files_, "A file to add next to the app's; may be repeated")
      ->group(kConfinement)
      ->excludes(flags.get_option("--unconfined"));
}

Result<Partition> AppStart::make_partition(const CLI::App& flags, LaunchOptions& /*launching*/) {
  FURNACE_CHECK(protocol::check_app_id(options_.app));
  // It names a directory, which is bound into the view.
  if (options_.app.starts_with('.'))
    return fail(Errc::Invalid, "app id '{}': must not begin with a dot", options_.app);
  Partition partition;
  partition.policy_name = forensic_ ? "forensic" : "app";
  const auto native = shared_object_for(options_.file);
  const fs::path file = native ? fs::path(*native) : fs::path(options_.file + ".py");
  const fs::path place = fs::path(places::kApp) / file.filename();
  if (const auto added = add_file(partition, file, place); !added)
    return fail(Errc::NotFound, "{} (the option takes the file's name without .py)", added.error().message());
  for (const std::string& beside : files_)
    FURNACE_CHECK(add_file(partition, beside, fs::path(places::kApp) / fs::path(beside).filename()));
  FURNACE_CHECK(add_vmi_socket(partition, options_, common_socket_));
  FURNACE_CHECK(add_facilities_socket(partition, options_, flags.count("--fac") != 0));
  partition.command = command_line(flags, {{"--code", place.parent_path() / place.stem()},
                                           {"--fac", places::kFacilities},
                                           {"--vmi", places::kVmi}});
  return partition;
}

Part app_part(const Manifest& manifest) {
  Part part{"app",
            {"--code", manifest.code, "-m", manifest.class_name, "--u2", manifest.app, "--md",
             manifest.metadata, "--vmi", manifest.vm.directory}};
  if (manifest.home) part.add({"--fac", manifest.directory / "fac_socket"});
  if (manifest.wait_for_vm) part.add({"--wait-for-vm", "0"});
  if (manifest.forensic) part.add({"--forensic"});
  if (manifest.raw_output) part.add({"--raw-output"});
  for (const std::string& file : manifest.files) part.add({"--add", file});
  part.add(manifest.app_limits);
  return part;
}

}  // namespace

const Kind& app_kind() {
  static constexpr Kind kind{"app", "APP partition: runs a tenant's app",
                             "APP partition: hosts a tenant's app",
                             [] { return std::unique_ptr<Start>(new AppStart); }, app_part};
  return kind;
}

}  // namespace furnace::launch
