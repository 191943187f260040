#include "protocol/certificate.h"

#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <zmq.h>

#include <array>
#include <ctime>
#include <optional>

#include "base/file.h"
#include "base/printable.h"
#include "base/text.h"
#include "protocol/framing.h"

namespace furnace::protocol {
namespace {

constexpr size_t kKeySize = 40;  // Z85 of 32 bytes

/// The value of `line` if it is `key = "value"` for this key.
std::optional<std::string_view> value_of(std::string_view line, std::string_view key) {
  if (!line.starts_with(key)) return std::nullopt;
  std::string_view rest = trimmed(line.substr(key.size()));
  if (!rest.starts_with('=')) return std::nullopt;
  rest = trimmed(rest.substr(1));
  if (rest.size() >= 2 && (rest.front() == '"' || rest.front() == '\'') && rest.back() == rest.front())
    rest = rest.substr(1, rest.size() - 2);
  return rest;
}

Status check_key(std::string_view key, std::string_view what, std::string_view name, int line) {
  std::array<uint8_t, 32> decoded{};
  if (key.size() != kKeySize || zmq_z85_decode(decoded.data(), std::string(key).c_str()) == nullptr)
    return fail(Errc::Invalid, "{}:{}: {} is not a Z85 key of {} characters", name, line, what, kKeySize);
  return {};
}

Result<int64_t> parse_time(std::string_view text, std::string_view name, int line) {
  std::tm time{};
  const std::string whole(text);
  const char* end = ::strptime(whole.c_str(), "%Y-%m-%dT%H:%M:%SZ", &time);
  if (end == nullptr || *end != '\0')
    return fail(Errc::Invalid, "{}:{}: valid-until '{}': expected a time as 2026-11-25T14:00:00Z", name, line,
                printable(text.substr(0, 40)));
  return ::timegm(&time);
}

/// One line of a section.
Status read_line(std::string_view section, std::string_view body, std::string_view name, int number,
                 Certificate& into) {
  if (section == "curve") {
    if (const auto key = value_of(body, "public-key")) {
      FURNACE_CHECK(check_key(*key, "public-key", name, number));
      into.public_key = *key;
    } else if (const auto secret = value_of(body, "secret-key")) {
      FURNACE_CHECK(check_key(*secret, "secret-key", name, number));
      into.secret_key = *secret;
    }
  } else if (section == "metadata") {
    if (const auto app = value_of(body, "app")) {
      if (auto good = check_app_id(*app); !good)
        return fail(good.error(), fmt::format("{}:{}", name, number));
      into.app = *app;
    } else if (const auto until = value_of(body, "valid-until")) {
      FURNACE_TRY(into.valid_until, parse_time(*until, name, number));
    }
  }
  return {};
}

/// A secret is in this process's memory from now on: it must not get into a core file.
void hide_memory() {
  ::prctl(PR_SET_DUMPABLE, 0);
}

}  // namespace

std::string utc_time(int64_t seconds) {
  const std::time_t time = seconds;
  std::tm parts{};
  ::gmtime_r(&time, &parts);
  std::array<char, 32> text{};
  return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

std::string to_zpl(const Certificate& certificate, bool with_secret) {
  std::string text = fmt::format(
      "#   ZeroMQ CURVE {} Certificate\n{}\nmetadata\n    generator = \"furnace\"\n",
      with_secret ? "**Secret**" : "Public",
      with_secret ? "#   DO NOT PROVIDE THIS FILE TO OTHER USERS nor change its permissions.\n" : "");
  if (!certificate.app.empty()) text += fmt::format("    app = \"{}\"\n", certificate.app);
  if (certificate.valid_until)
    text += fmt::format("    valid-until = \"{}\"\n", utc_time(*certificate.valid_until));
  text += fmt::format("curve\n    public-key = \"{}\"\n", certificate.public_key);
  if (with_secret) text += fmt::format("    secret-key = \"{}\"\n", certificate.secret_key);
  return text;
}

Status check_distinct(const Certificate& one, const Certificate& other, std::string_view first,
                      std::string_view second) {
  if (one.public_key != other.public_key) return {};
  return fail(Errc::Invalid, "{} and {} hold the same key pair: were files swapped?", first, second);
}

Status check_owner(const Certificate& key, std::string_view app, std::string_view name) {
  if (key.app.empty() || key.app == app) return {};
  return fail(Errc::Invalid, "{}: it is the key of app {}, not of {}", name, key.app, app);
}

Result<Certificate> parse_certificate(std::string_view text, std::string_view name) {
  Certificate certificate;
  std::string_view section;
  int number = 0;
  for (const std::string_view line : lines(text)) {
    ++number;
    const std::string_view body = trimmed(line);
    if (body.empty() || body.starts_with('#')) continue;
    if (line.front() != ' ' && line.front() != '\t') {
      section = body;
      continue;
    }
    FURNACE_CHECK(read_line(section, body, name, number, certificate));
  }
  if (certificate.public_key.empty())
    return fail(Errc::Invalid, "{}: no 'public-key' in a 'curve' section; is it a CURVE certificate?", name);
  return certificate;
}

Result<Certificate> load_public(const std::filesystem::path& path) {
  FURNACE_TRY(const std::string text, read_file(path, 64 << 10));
  return parse_certificate(text, path.string());
}

Result<Certificate> load_secret(const std::filesystem::path& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return fail_errno("{}", path.string());
  if ((info.st_mode & 077) != 0)
    return fail(Errc::Denied,
                "{}: a secret key that others can read (mode {:04o}); mend it with: chmod 600 {}",
                path.string(), info.st_mode & 07777, path.string());
  return load_secret_of_partition(path);
}

Result<Certificate> load_secret_of_partition(const std::filesystem::path& path) {
  FURNACE_TRY(Certificate certificate, load_public(path));
  if (certificate.secret_key.empty())
    return fail(Errc::Invalid, "{}: no 'secret-key'; this is the public certificate", path.string());
  std::array<char, kKeySize + 1> derived{};
  if (zmq_curve_public(derived.data(), certificate.secret_key.c_str()) != 0 ||
      certificate.public_key != derived.data())
    return fail(Errc::Invalid, "{}: its public and its secret key don't belong together", path.string());
  hide_memory();
  return certificate;
}

Result<Certificate> new_certificate() {
  std::array<char, kKeySize + 1> public_key{};
  std::array<char, kKeySize + 1> secret_key{};
  if (zmq_curve_keypair(public_key.data(), secret_key.data()) != 0)
    return fail(Errc::Unavailable, "this libzmq was built without CURVE");
  return Certificate{public_key.data(), secret_key.data(), {}, {}};
}

Status save_certificate(const Certificate& certificate, const std::filesystem::path& directory,
                        std::string_view name) {
  for (const bool secret : {true, false}) {
    const auto path = directory / fmt::format("{}.{}", name, secret ? "key" : "pub");
    if (std::filesystem::exists(path))
      return fail(Errc::Invalid, "{}: exists already; move it away to make new keys", path.string());
  }
  FURNACE_CHECK(write_file(directory / fmt::format("{}.key", name), to_zpl(certificate, true), 0600));
  return write_file(directory / fmt::format("{}.pub", name), to_zpl(certificate, false), 0644);
}

void serve_curve(zmq::socket_t& socket, const Certificate& own, const std::string& domain) {
  socket.set(zmq::sockopt::curve_server, true);
  socket.set(zmq::sockopt::curve_publickey, own.public_key);
  socket.set(zmq::sockopt::curve_secretkey, own.secret_key);
  socket.set(zmq::sockopt::zap_domain, domain);
}

void use_curve(zmq::socket_t& socket, const Certificate& own, const std::string& server_public_key) {
  socket.set(zmq::sockopt::curve_serverkey, server_public_key);
  socket.set(zmq::sockopt::curve_publickey, own.public_key);
  socket.set(zmq::sockopt::curve_secretkey, own.secret_key);
}

}  // namespace furnace::protocol
