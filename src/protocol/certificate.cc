#include "protocol/certificate.h"

#include <sys/stat.h>
#include <zmq.h>

#include <array>
#include <optional>

#include "base/file.h"

namespace furnace::protocol {
namespace {

constexpr size_t kKeySize = 40;  // Z85 of 32 bytes

std::string_view trim(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

/// The value of `line` if it is `key = "value"` for this key.
std::optional<std::string_view> value_of(std::string_view line, std::string_view key) {
  if (!line.starts_with(key)) return std::nullopt;
  std::string_view rest = trim(line.substr(key.size()));
  if (!rest.starts_with('=')) return std::nullopt;
  rest = trim(rest.substr(1));
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

std::string zpl(const Certificate& certificate, bool secret) {
  std::string text = fmt::format(
      "#   ZeroMQ CURVE {} Certificate\n{}\nmetadata\n    generator = \"furnace\"\ncurve\n    public-key = "
      "\"{}\"\n",
      secret ? "**Secret**" : "Public",
      secret ? "#   DO NOT PROVIDE THIS FILE TO OTHER USERS nor change its permissions.\n" : "",
      certificate.public_key);
  if (secret) text += fmt::format("    secret-key = \"{}\"\n", certificate.secret_key);
  return text;
}

}  // namespace

Result<Certificate> parse_certificate(std::string_view text, std::string_view name) {
  Certificate certificate;
  bool in_curve = false;
  for (int number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const std::string_view body = trim(line);
    if (body.empty() || body.starts_with('#')) continue;
    if (line.front() != ' ' && line.front() != '\t') {
      in_curve = body == "curve";
      continue;
    }
    if (!in_curve) continue;
    if (const auto key = value_of(body, "public-key")) {
      FURNACE_CHECK(check_key(*key, "public-key", name, number));
      certificate.public_key = *key;
    } else if (const auto secret = value_of(body, "secret-key")) {
      FURNACE_CHECK(check_key(*secret, "secret-key", name, number));
      certificate.secret_key = *secret;
    }
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
  return certificate;
}

Result<Certificate> new_certificate() {
  std::array<char, kKeySize + 1> public_key{};
  std::array<char, kKeySize + 1> secret_key{};
  if (zmq_curve_keypair(public_key.data(), secret_key.data()) != 0)
    return fail(Errc::Unavailable, "this libzmq was built without CURVE");
  return Certificate{public_key.data(), secret_key.data()};
}

Status save_certificate(const Certificate& certificate, const std::filesystem::path& directory,
                        std::string_view name) {
  for (const bool secret : {true, false}) {
    const auto path = directory / fmt::format("{}.{}", name, secret ? "key" : "pub");
    if (std::filesystem::exists(path))
      return fail(Errc::Invalid, "{}: exists already; move it away to make new keys", path.string());
  }
  FURNACE_CHECK(write_file(directory / fmt::format("{}.key", name), zpl(certificate, true), 0600));
  return write_file(directory / fmt::format("{}.pub", name), zpl(certificate, false), 0644);
}

void serve_curve(zmq::socket_t& socket, const Certificate& own) {
  socket.set(zmq::sockopt::curve_server, true);
  socket.set(zmq::sockopt::curve_publickey, own.public_key);
  socket.set(zmq::sockopt::curve_secretkey, own.secret_key);
  socket.set(zmq::sockopt::zap_domain, "furnace");
}

void use_curve(zmq::socket_t& socket, const Certificate& own, const std::string& server_public_key) {
  socket.set(zmq::sockopt::curve_serverkey, server_public_key);
  socket.set(zmq::sockopt::curve_publickey, own.public_key);
  socket.set(zmq::sockopt::curve_secretkey, own.secret_key);
}

}  // namespace furnace::protocol
