// furnace-fac: the FAC partition of one app.
#include <charconv>
#include <filesystem>

#include "base/log.h"
#include "base/signals.h"
#include "facilities/server.h"
#include "partitions/fac_options.h"
#include "program/program.h"

namespace {

using namespace furnace;

constexpr uint64_t kDefaultQuota = 10'000'000;
constexpr std::string_view kQuotaKey = "_furnace_max_disk";

using partitions::FacOptions;

/// The value of `key` in "k:v,k:v".
Result<uint64_t> quota_of(std::string_view quotas, std::string_view key, uint64_t otherwise) {
  while (!quotas.empty()) {
    const size_t end = std::min(quotas.find(','), quotas.size());
    const std::string_view pair = quotas.substr(0, end);
    quotas.remove_prefix(std::min(end + 1, quotas.size()));
    const size_t colon = pair.find(':');
    if (colon == std::string_view::npos) return fail(Errc::Invalid, "--qt: '{}': expected key:value", pair);
    if (pair.substr(0, colon) != key) continue;
    const std::string_view number = pair.substr(colon + 1);
    const auto [stop, error] = std::from_chars(number.data(), number.data() + number.size(), otherwise);
    if (error != std::errc() || stop != number.data() + number.size())
      return fail(Errc::Invalid, "--qt: {}: '{}' is not a number of bytes", key, number);
  }
  return otherwise;
}

Status serve(const FacOptions& options) {
  FURNACE_TRY(const Fd stop, stop_signals());
  FURNACE_TRY(const uint64_t quota, quota_of(options.quotas, kQuotaKey, kDefaultQuota));
  const std::filesystem::path keys = options.keys;
  facilities::Options server_options;
  server_options.app = options.app;
  server_options.directory = options.directory;
  server_options.proxy_ip = options.proxy_ip;
  server_options.proxy_port = options.proxy_port;
  server_options.counter = options.counter;
  FURNACE_TRY(server_options.own, options.confined ? protocol::load_secret_of_partition(keys / "app.key")
                                                   : protocol::load_secret(keys / "app.key"));
  FURNACE_TRY(const protocol::Certificate backend, protocol::load_public(keys / "be.pub"));
  server_options.backend_key = backend.public_key;

  std::filesystem::path directory = std::filesystem::absolute(options.directory).lexically_normal();
  if (!directory.has_filename()) directory = directory.parent_path();
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  // The layout of a tenant's data: fac_socket/ and storage/ side by side (wire.md section 6).
  const std::filesystem::path storage_directory =
      options.storage.empty() ? directory.parent_path() / "storage" : std::filesystem::path(options.storage);
  FURNACE_TRY(facilities::Storage storage, facilities::Storage::open(storage_directory, quota));
  zmq::context_t context(1);
  FURNACE_TRY(facilities::Server server,
              facilities::Server::bind(context, server_options, std::move(storage)));
  log::info("serving app {} at {}/fac_rtr, quota {} bytes", options.app, options.directory, quota);
  establish();
  server.run(stop.get());
  log::info("stopped; {} messages dropped", server.dropped());
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  FacOptions options;
  Program program("furnace-fac", "FAC partition: storage and messages of one app");
  partitions::add_options(program.options(), options);
  return program.run(argc, argv, [&] { return serve(options); });
}
