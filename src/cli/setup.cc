#include "cli/setup.h"

#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <functional>

#include "base/command.h"
#include "base/directories.h"
#include "base/directory.h"
#include "base/signals.h"
#include "launch/kind.h"
#include "sandbox/account.h"
#include "sandbox/rootfs.h"

namespace furnace::cli {
namespace {

struct SetupOptions {
  bool check = false;  ///< change nothing, say what is missing
};

namespace fs = std::filesystem;

constexpr const char* kAccount = "furnace";

bool has_account() {
  return ::getpwnam(kAccount) != nullptr;  // NOLINT(concurrency-mt-unsafe): one thread
}

Status make_account() {
  const auto made =
      run({"useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent", "--shell",
           "/usr/sbin/nologin", "--comment", "Furnace partitions", kAccount});
  return made ? Status() : Status(tl::unexpected<Error>(made.error()));
}

/// A directory of root's, or of the account's: tenants' data is its own (wire.md section 6).
struct ProvidedDirectory {
  const char* name;
  mode_t mode;
  bool of_account;
};
constexpr std::array kPlaces{ProvidedDirectory{"", 0755, false},
                             ProvidedDirectory{"app_storage", 0755, false},
                             ProvidedDirectory{"app_storage/tenant_data", 0750, true}};

bool is_right(const ProvidedDirectory& place) {
  struct stat status {};
  const auto path = furnace_directory() / place.name;
  if (::stat(path.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) return false;
  if (!place.of_account) return true;
  const auto account = sandbox::partition_account();
  return account && status.st_uid == account->user;
}

Status make_place(const ProvidedDirectory& place) {
  const auto path = furnace_directory() / place.name;
  FURNACE_TRY(const Directory made, Directory::make(path, Care::Content, place.mode));
  if (::fchmod(made.descriptor(), place.mode) != 0) return fail_errno("{}", path.string());
  const auto account = sandbox::partition_account();
  if (place.of_account && account && ::fchown(made.descriptor(), account->user, account->group) != 0)
    return fail_errno("{}: change of owner", path.string());
  return {};
}

/// Does `make` unless `is_there` says that it is done.
Status step(const SetupOptions& options, const std::string& what, const std::function<bool()>& is_there,
            const std::function<Status()>& make, bool& complete) {
  if (is_there()) {
    fmt::print("   {}: is there\n", what);
    return {};
  }
  if (options.check) {
    complete = false;
    fmt::print("!! {}: missing\n", what);
    return {};
  }
  if (const auto made = make(); !made) return fail(made.error(), what);
  fmt::print("ok {}: made\n", what);
  return {};
}

/// Makes the system account and the directories of $FURNACE_DIR (wire.md section 6), and builds the roots of
/// the partitions there. Does nothing twice; prints what it did. With `check`: fails if something is missing.
Status set_up(const SetupOptions& options) {
  if (::geteuid() != 0 && !options.check)
    return fail(Errc::Denied, "accounts and {} are root's to make: sudo furnace setup",
                furnace_directory().string());
  FURNACE_TRY(const Fd stop, stop_signals());  // what is half built is removed
  bool complete = true;
  FURNACE_CHECK(step(options, fmt::format("account '{}'", kAccount), has_account, make_account, complete));
  for (const ProvidedDirectory& place : kPlaces)
    FURNACE_CHECK(step(
        options, fmt::format("directory {}", (furnace_directory() / place.name).lexically_normal().string()),
        [&] { return is_right(place); }, [&] { return make_place(place); }, complete));
  for (const sandbox::RootKind* each : launch::kRootKinds) {
    const sandbox::RootKind& kind = *each;
    if (!kind.modules.empty()) continue;  // it needs packages that not every host has
    const fs::path root = sandbox::operators_root(kind);
    FURNACE_CHECK(step(
        options, fmt::format("root of {} partitions {}", kind.name, root.string()),
        [&] {
          const auto verified = sandbox::verify_root(root);
          return verified && verified->differences.empty();
        },
        [&]() -> Status {
          const auto built = sandbox::build_root(kind, root);
          return built ? Status() : Status(tl::unexpected<Error>(built.error()));
        },
        complete));
  }
  return complete ? Status() : Status(fail(Errc::NotFound, "not set up: sudo furnace setup"));
}

}  // namespace

void add_setup(Commands& commands) {
  auto* setup =
      commands.add("setup", "Set up this host: the account, the directories and the roots of partitions");
  const auto options = std::make_shared<SetupOptions>();
  setup->add_flag("--check", options->check,
                  "Change nothing; report what is missing, and exit with 1 if something is");
  commands.on(setup, [options] { return set_up(*options); });
}

}  // namespace furnace::cli
