#include "protocol/allow_list.h"

#include <algorithm>
#include <ctime>
#include <set>

#include "base/log.h"
#include "protocol/framing.h"
#include "protocol/server_keys.h"

namespace furnace::protocol {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrevious = ".previous";

/// The files that stand for one certificate: itself, and the one before its last rotation if that is still
/// there.
std::vector<fs::path> files_of(const fs::path& file) {
  std::vector<fs::path> files{file};
  std::error_code error;
  if (const fs::path previous = previous_of(file); fs::exists(previous, error)) files.push_back(previous);
  return files;
}

struct CertificatePlace {
  fs::path file;
  std::string app;
};

/// Certificates in a directory, each with the app that its place names.
std::vector<CertificatePlace> places_in(const fs::path& directory) {
  std::vector<CertificatePlace> places;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error)) {
    const fs::path& path = entry.path();
    const std::string name = path.stem().string();
    if (entry.is_directory(error) && fs::exists(path / "app.pub", error)) {
      for (const fs::path& file : files_of(path / "app.pub"))
        places.push_back({file, path.filename().string()});
    } else if (path.extension() == ".pub" && !name.ends_with(kPrevious)) {
      for (const fs::path& file : files_of(path)) places.push_back({file, name});
    }
  }
  std::sort(places.begin(), places.end(),
            [](const CertificatePlace& a, const CertificatePlace& b) { return a.file < b.file; });
  return places;
}

}  // namespace

Status AllowList::read(const Source& source, Keys& into) const {
  if (!source.is_directory) {
    for (const fs::path& file : files_of(source.path)) {
      FURNACE_TRY(const Certificate certificate, load_public(file));
      into[certificate.public_key] = {certificate.app, certificate.valid_until};
    }
    return {};
  }
  std::error_code error;
  if (!fs::is_directory(source.path, error))
    return fail(Errc::NotFound, "{}: expected a directory of certificates APP.pub", source.path.string());
  Status first;
  const auto refuse = [&](const Error& why) {
    if (first) first = tl::unexpected<Error>(why);
  };
  for (const auto& [file, app] : places_in(source.path)) {
    const auto certificate = load_public(file);
    if (!certificate) {
      refuse(certificate.error());
    } else if (const auto good = check_app_id(app); !good) {
      refuse(good.error().context(file.string()));
    } else if (!certificate->app.empty() && certificate->app != app) {
      refuse({Errc::Invalid, fmt::format("{}: belongs to app '{}' by its metadata, and to '{}' by its place",
                                         file.string(), certificate->app, app)});
    } else if (const auto known = into.find(certificate->public_key);
               known != into.end() && known->second.app != app) {
      refuse(
          {Errc::Invalid, fmt::format("{}: the key of app '{}' already", file.string(), known->second.app)});
    } else {
      into[certificate->public_key] = {app, certificate->valid_until};
    }
  }
  return first;
}

Status AllowList::add(Source source) {
  const Status done = read(source, read_);
  sources_.push_back(std::move(source));
  state_ = state_of_files();
  return done;
}

Status AllowList::add_file(const fs::path& file) {
  return add(Source{file, false});
}
Status AllowList::add_directory(const fs::path& directory) {
  return add(Source{directory, true});
}

std::string AllowList::state_of_files() const {
  std::string state;
  const auto note = [&](const fs::path& file) {
    std::error_code error;
    state += fmt::format("{} {} {}\n", file.string(), fs::file_size(file, error),
                         fs::last_write_time(file, error).time_since_epoch().count());
  };
  for (const Source& source : sources_) {
    if (source.is_directory) {
      for (const CertificatePlace& place : places_in(source.path)) note(place.file);
    } else {
      for (const fs::path& file : files_of(source.path)) note(file);
    }
  }
  return state;
}

bool AllowList::refresh() {
  std::string state = state_of_files();
  if (state == state_) return false;
  state_ = std::move(state);
  Keys keys;
  for (const Source& source : sources_) {
    const auto done = read(source, keys);
    if (done) continue;
    log::warning("allow-list: {}", done.error().message());
    if (!source.is_directory) return false;
  }
  read_ = std::move(keys);
  log::info("allow-list read again: {} keys", this->keys());
  return true;
}

const AllowList::Entry* AllowList::find(std::string_view public_key) const {
  for (const Keys* keys : {&fixed_, &read_})
    if (const auto found = keys->find(public_key); found != keys->end()) {
      const auto& until = found->second.valid_until;
      return until && *until <= std::time(nullptr) ? nullptr : &found->second;
    }
  return nullptr;
}

bool AllowList::allows(std::string_view public_key, std::string_view app) const {
  const Entry* entry = find(public_key);
  return entry != nullptr && (entry->app.empty() || entry->app == app);
}

size_t AllowList::apps() const {
  std::set<std::string_view> apps;
  for (const Keys* keys : {&fixed_, &read_})
    for (const auto& [key, entry] : *keys) apps.insert(entry.app);
  return apps.size();
}

}  // namespace furnace::protocol
