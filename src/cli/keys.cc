#include "cli/keys.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <ctime>

#include "base/directory.h"
#include "base/file.h"
#include "base/printable.h"
#include "base/signals.h"
#include "base/text.h"
#include "protocol/certificate.h"
#include "protocol/framing.h"

namespace furnace::cli {
namespace {

struct Rotation {
  std::filesystem::path directory;
  std::string name = "app";    ///< app or be
  std::string window = "24h";  ///< how long the old key stays valid: a number and s, m, h or d
};

namespace fs = std::filesystem;
using protocol::Certificate;

bool is_certificate(const fs::path& file) {
  return file.extension() == ".pub" || file.extension() == ".key";
}

/// A certificate's file, those of a directory, or of the directories in it (as those of a backend for many
/// apps).
std::vector<fs::path> certificates_in(const fs::path& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) return {path};
  std::vector<fs::path> files;
  for (fs::recursive_directory_iterator entry(path, error), end; entry != end; entry.increment(error))
    if (is_certificate(entry->path()) && entry.depth() <= 1) files.push_back(entry->path());
  std::sort(files.begin(), files.end());
  return files;
}

Result<std::time_t> seconds_of(std::string_view window) {
  constexpr std::array<std::pair<char, std::time_t>, 4> units{
      {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86'400}}};
  constexpr std::time_t most = 10'000;
  std::string_view rest = window;
  const auto count = take_number<std::time_t>(rest);
  const auto* const unit = std::find_if(
      units.begin(), units.end(), [&](const auto& each) { return rest == std::string_view(&each.first, 1); });
  if (!count || unit == units.end() || *count < 0 || *count > most)
    return fail(Errc::Invalid, "--window '{}': expected a number up to {} and s, m, h or d, as 24h", window,
                most);
  return *count * unit->second;
}

std::string validity(const Certificate& certificate) {
  if (!certificate.valid_until) return "";
  const bool over = *certificate.valid_until <= std::time(nullptr);
  return fmt::format("{} {}", over ? "expired" : "until", protocol::utc_time(*certificate.valid_until));
}

/// What is wrong with one file; nothing if it is as it should be.
Status check_file(const fs::path& file) {
  if (file.extension() == ".pub") {
    FURNACE_TRY(const Certificate certificate, protocol::load_public(file));
    if (!certificate.secret_key.empty())
      return fail(Errc::Invalid, "{}: holds a secret key: no other user may read this file", file.string());
    return {};
  }
  FURNACE_TRY(const Certificate secret, protocol::load_secret(file));
  const fs::path beside = fs::path(file).replace_extension(".pub");
  std::error_code error;
  if (!fs::exists(beside, error)) return {};
  FURNACE_TRY(const Certificate own, protocol::load_public(beside));
  if (own.public_key != secret.public_key)
    return fail(Errc::Invalid, "{} and {} are not of one pair", file.string(), beside.string());
  return {};
}

/// Makes app.key, app.pub, be.key and be.pub in `directory`. `app`: the only id that the app's key
/// is valid for; empty: the name of the directory if that ends in "-app", else any.
Status new_keys(const fs::path& directory, std::string app) {
  FURNACE_CHECK(Directory::make(directory, Care::Links));
  const std::string place =
      fs::absolute(directory / "x").lexically_normal().parent_path().filename().string();
  if (app.empty() && place.ends_with("-app")) app = place;
  if (!app.empty()) FURNACE_CHECK(protocol::check_app_id(app));
  const HoldSignals until_all_are_written;
  for (const char* name : {"app", "be"}) {
    FURNACE_TRY(Certificate certificate, protocol::new_certificate());
    if (std::string_view(name) == "app") certificate.app = app;
    FURNACE_CHECK(protocol::save_certificate(certificate, directory, name));
  }
  fmt::print(
      "wrote app.key, app.pub, be.key and be.pub to {}\n"
      "  FAC needs app.key and be.pub; the backend be.key and app.pub; a proxy that is\n"
      "  not blind app.key and be.key. Keys (.key) are secret.\n",
      directory.string());
  if (!app.empty()) fmt::print("  app.key is valid only for app {}\n", app);
  return {};
}

/// Prints what is public of a certificate, or of all in a directory.
Status show_keys(const fs::path& path) {
  const auto files = certificates_in(path);
  if (files.empty()) return fail(Errc::NotFound, "{}: no certificates (.key, .pub)", path.string());
  for (const fs::path& file : files) {
    const auto certificate = protocol::load_public(file);
    if (!certificate) {
      fmt::print("{}\n  {}\n", printable(file.string()), printable_lines(certificate.error().message()));
      continue;
    }
    fmt::print("{}\n  public {}{}\n", printable(file.string()), certificate->public_key,
               certificate->secret_key.empty() ? "" : "  (the secret key is here too)");
    if (!certificate->app.empty()) fmt::print("  app    {}\n", printable(certificate->app));
    if (certificate->valid_until) fmt::print("  valid  {}\n", validity(*certificate));
  }
  return {};
}

/// Exchanges NAME.key and NAME.pub for new ones. The old public key becomes NAME.previous.pub, which is valid
/// beside the new one for the time of the window.
Status rotate_keys(const Rotation& rotation) {
  FURNACE_TRY(const std::time_t seconds, seconds_of(rotation.window));
  const auto file = [&](const char* ending) { return rotation.directory / (rotation.name + ending); };
  FURNACE_TRY(Certificate old, protocol::load_secret(file(".key")));
  if (const auto previous = protocol::load_public(file(".previous.pub"));
      previous && validity(*previous).starts_with("until"))
    return fail(Errc::Invalid, "{}: a key before this one is valid {}; revoke it first (furnace keys revoke)",
                file(".previous.pub").string(), validity(*previous));
  FURNACE_TRY(Certificate fresh, protocol::new_certificate());
  fresh.app = old.app;
  old.valid_until = std::time(nullptr) + seconds;
  const HoldSignals until_all_are_written;
  // In this order a reader never finds the old key neither in one place nor in the other.
  constexpr unsigned public_mode = 0644, secret_mode = 0600;
  FURNACE_CHECK(write_file(file(".previous.pub"), to_zpl(old, false), public_mode));
  FURNACE_CHECK(write_file(file(".pub"), to_zpl(fresh, false), public_mode));
  FURNACE_CHECK(write_file(file(".key"), to_zpl(fresh, true), secret_mode));
  fmt::print("{}: a new key pair; the old key is valid until {}\n", file(".key").string(),
             protocol::utc_time(*old.valid_until));
  if (rotation.name == "app") {
    fmt::print(
        "  1. copy app.pub and app.previous.pub to the backend, which takes both\n"
        "  2. copy app.key to the proxy, if it is not blind, and to FAC, and restart FAC\n");
  } else {
    fmt::print(
        "  1. copy be.pub and be.previous.pub to FAC, and restart FAC: it trusts both\n"
        "  2. copy be.key and be.previous.pub to the proxy, if it is not blind\n"
        "  3. copy be.key to the backend, which takes it within a second\n");
  }
  return {};
}

/// Takes a public certificate back: PATH.pub becomes PATH.revoked. For a directory: its app.previous.pub.
Status revoke_key(const fs::path& path) {
  std::error_code error;
  const fs::path file = fs::is_directory(path, error) ? path / "app.previous.pub" : path;
  if (file.extension() != ".pub")
    return fail(Errc::Invalid,
                "{}: expected a public certificate (.pub), or a directory with app.previous.pub",
                file.string());
  FURNACE_TRY(const Certificate certificate, protocol::load_public(file));
  const fs::path revoked = fs::path(file).replace_extension(".revoked");
  FURNACE_TRY(const NamedPlace at, place_of_file(file, Care::Links));
  FURNACE_CHECK(at.directory.rename(at.name, revoked.filename()));
  fmt::print(
      "{} is not valid any more; its file is {} now\n  who reads this directory takes notice within a "
      "second, and drops what comes with this key\n",
      certificate.public_key, revoked.string());
  return {};
}

/// Looks through a directory of keys: form, modes, pairs, validity. An error if something is wrong.
Status check_keys(const fs::path& directory) {
  const auto files = certificates_in(directory);
  if (files.empty()) return fail(Errc::NotFound, "{}: no certificates (.key, .pub)", directory.string());
  size_t wrong = 0;
  for (const fs::path& file : files) {
    const Status good = check_file(file);
    const auto certificate = protocol::load_public(file);
    const std::string until = certificate ? validity(*certificate) : "";
    fmt::print("{} {}{}\n",
               !good                          ? "!!"
               : until.starts_with("expired") ? "--"
                                              : "ok",
               printable(file.string()), until.empty() ? "" : "  " + until);
    if (good) continue;
    ++wrong;
    fmt::print("   {}\n", printable_lines(good.error().message()));
  }
  if (wrong != 0)
    return fail(Errc::Invalid, "{} of {} certificates are not as they should be", wrong, files.size());
  return {};
}

}  // namespace

void add_keys(Commands& commands) {
  auto* keys = commands.add_group("keys", "CURVE keys of an app and its backend");
  const auto path = std::make_shared<std::string>();
  const auto app = std::make_shared<std::string>();
  const auto rotation = std::make_shared<Rotation>();
  auto* make = keys->add_subcommand("new", "Make app.key, app.pub, be.key and be.pub");
  make->add_option("DIR", *path, "Directory to write them to")->required();
  make->add_option(
      "--app", *app,
      "The app's id: the key is valid only for this app; default: DIR's name, if it ends in -app");
  commands.on(make, [path, app] { return new_keys(*path, *app); });
  auto* show = keys->add_subcommand(
      "show", "Show the public part of a certificate, or of all certificates in a directory");
  show->add_option("PATH", *path, "A certificate, or a directory")->required();
  commands.on(show, [path] { return show_keys(*path); });
  auto* rotate =
      keys->add_subcommand("rotate", "Replace a key pair by a new one; the old key stays valid for a while");
  rotate->add_option("DIR", rotation->directory, "Directory with app.key or be.key")->required();
  rotate->add_option("--key", rotation->name, "Which pair")
      ->check(CLI::IsMember({"app", "be"}))
      ->capture_default_str();
  rotate->add_option("--window", rotation->window, "How long the old key stays valid: 30m, 24h, 7d")
      ->capture_default_str();
  commands.on(rotate, [rotation] { return rotate_keys(*rotation); });
  auto* revoke = keys->add_subcommand(
      "revoke", "Revoke a key: it becomes invalid as soon as the directory is read again");
  revoke->add_option("PATH", *path, "A public certificate, or a directory: revokes its app.previous.pub")
      ->required();
  commands.on(revoke, [path] { return revoke_key(*path); });
  auto* check = keys->add_subcommand("check", "Check the keys in a directory: form, modes, pairs, validity");
  check->add_option("DIR", *path, "A directory of keys, or of directories of keys")->required();
  commands.on(check, [path] { return check_keys(*path); });
}

}  // namespace furnace::cli
