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
constexpr std::string_view kStorageQuota = "_furnace_max_disk";
constexpr std::string_view kOutboxQuota = "_furnace_max_outbox";

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
  FURNACE_TRY(const uint64_t quota, quota_of(options.quotas, kStorageQuota, kDefaultQuota));
  FURNACE_TRY(const uint64_t outbox_quota, quota_of(options.quotas, kOutboxQuota, kDefaultQuota));
  const std::filesystem::path keys = options.keys;
  facilities::Options server_options;
  server_options.directory = options.directory;
  server_options.counter = options.counter;
  auto& line = server_options.line;
  line.app = options.app;
  line.proxy_ip = options.proxy_ip;
  line.proxy_port = options.proxy_port;
  line.blind = options.blind;
  FURNACE_TRY(line.own, options.confined ? protocol::load_secret_of_partition(keys / "app.key")
                                         : protocol::load_secret(keys / "app.key"));
  FURNACE_TRY(line.backend_keys, protocol::ServerKeys::load(keys / "be.pub"));
  FURNACE_TRY(server_options.metrics, MetricsSocket::make(options.metrics, options.metrics_descriptor));

  std::filesystem::path directory = std::filesystem::absolute(options.directory).lexically_normal();
  if (!directory.has_filename()) directory = directory.parent_path();
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  // The layout of a tenant's data: fac_socket/ and storage/ side by side (wire.md section 6).
  const std::filesystem::path storage_directory =
      options.storage.empty() ? directory.parent_path() / "storage" : std::filesystem::path(options.storage);
  FURNACE_TRY(facilities::Storage storage, facilities::Storage::open(storage_directory, quota));
  FURNACE_TRY(facilities::Outbox outbox, facilities::Outbox::open(storage_directory, outbox_quota));
  if (storage.read_only())
    log::warning("{}: read-only: what is stored can be read, nothing can be stored",
                 storage_directory.string());
  if (outbox.waiting() != 0) log::info("{} durable messages wait for the backend", outbox.waiting());
  zmq::context_t context(1);
  FURNACE_TRY(const auto server, facilities::Server::bind(context, std::move(server_options),
                                                          std::move(storage), std::move(outbox)));
  log::info("serving app {} at {}/fac_rtr, quota {} bytes", options.app, options.directory, quota);
  establish();
  server->run(stop.get());
  log::info("stopped; {} messages dropped", server->counters().dropped);
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  FacOptions options;
  Program program("furnace-fac", "FAC partition: storage and messages of one app");
  partitions::add_options(program.options(), options);
  return program.run(argc, argv, [&] { return serve(options); });
}
