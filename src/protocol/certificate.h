// CURVE keys in ZPL certificate files as libzmq's tools, czmq and pyzmq write them (wire.md section 3; ZeroMQ
// RFC 4).
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <zmq.hpp>

#include "base/result.h"

namespace furnace::protocol {

/// A CURVE key pair, each key 40 characters of Z85. `secret_key` is empty for a public certificate.
struct Certificate {
  std::string public_key;
  std::string secret_key;
  std::string app;                          ///< metadata `app`: the only id it is valid for; empty: any
  std::optional<int64_t> valid_until = {};  ///< metadata `valid-until`, in seconds since 1970 (UTC)
};

/// Reads the text of a certificate; `name` is for errors. The secret key is optional here.
[[nodiscard]] Result<Certificate> parse_certificate(std::string_view text, std::string_view name);

/// Reads a public certificate (or the public half of a secret one).
[[nodiscard]] Result<Certificate> load_public(const std::filesystem::path& path);

/// Reads a secret certificate. Refuses one that others than its owner can read, and says how to mend it. From
/// then on no core file of this process is written, and no other process of the same user can look into it.
[[nodiscard]] Result<Certificate> load_secret(const std::filesystem::path& path);
/// The same in a partition, where only its program sees the file, whatever the file's mode.
[[nodiscard]] Result<Certificate> load_secret_of_partition(const std::filesystem::path& path);

[[nodiscard]] Result<Certificate> new_certificate();

/// The text of a certificate's file.
[[nodiscard]] std::string to_zpl(const Certificate& certificate, bool with_secret);

/// "2026-11-25T14:00:00Z".
[[nodiscard]] std::string utc_time(int64_t seconds);

/// An error if two key pairs that must differ are one: files were swapped. `first` and `second` name them.
[[nodiscard]] Status check_distinct(const Certificate& one, const Certificate& other, std::string_view first,
                                    std::string_view second);

/// An error if the key `name` belongs to another app than `app`.
[[nodiscard]] Status check_owner(const Certificate& key, std::string_view app, std::string_view name);

/// Writes NAME.pub (0644) and NAME.key (0600) into `directory`; refuses to replace files.
[[nodiscard]] Status save_certificate(const Certificate& certificate, const std::filesystem::path& directory,
                                      std::string_view name);

/// Makes `socket` a CURVE server whose peers are checked by the ZAP handler of its context.
void serve_curve(zmq::socket_t& socket, const Certificate& own, const std::string& domain = "furnace");

/// Makes `socket` a CURVE client that talks only to the owner of `server_public_key`.
void use_curve(zmq::socket_t& socket, const Certificate& own, const std::string& server_public_key);

}  // namespace furnace::protocol
