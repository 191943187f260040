// furnace-fac: the FAC partition of one app.
#include "launch/options/fac.h"

#include <filesystem>

#include "base/directory.h"
#include "base/log.h"
#include "base/signals.h"
#include "command_line/program.h"
#include "facilities/server.h"
#include "protocol/socket_files.h"

namespace {

using namespace furnace;

using launch::FacOptions;

Status serve(const FacOptions& options) {
  FURNACE_TRY(const Fd stop, stop_signals());
  FURNACE_TRY(const launch::Quotas quotas, launch::parse_quotas(options.quotas));
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
  FURNACE_CHECK(protocol::check_owner(line.own, options.app, (keys / "app.key").string()));
  FURNACE_TRY(line.backend_keys, protocol::ServerKeys::load(keys / "be.pub"));
  FURNACE_TRY(server_options.metrics, MetricsSocket::make(options.metrics, options.metrics_descriptor));

  std::filesystem::path directory = std::filesystem::absolute(options.directory).lexically_normal();
  if (!directory.has_filename()) directory = directory.parent_path();
  // The layout of a tenant's data: fac_socket/ and storage/ side by side (wire.md section 6).
  const std::filesystem::path storage_directory =
      options.storage.empty() ? directory.parent_path() / "storage" : std::filesystem::path(options.storage);
  if (!options.confined)
    for (const auto& each : {directory, storage_directory})
      FURNACE_CHECK(Directory::make(each, Care::Content));
  FURNACE_TRY(facilities::Storage storage, facilities::Storage::open(storage_directory, quotas.disk));
  FURNACE_TRY(facilities::Outbox outbox, facilities::Outbox::open(storage_directory, quotas.outbox));
  if (storage.read_only())
    log::warning("{}: read-only: what is stored can be read, nothing can be stored",
                 storage_directory.string());
  if (outbox.waiting() != 0) log::info("{} durable messages wait for the backend", outbox.waiting());
  zmq::context_t context(1);
  FURNACE_TRY(const auto server, facilities::Server::bind(context, std::move(server_options),
                                                          std::move(storage), std::move(outbox)));
  log::info("serving app {} at {}/fac_rtr, quota {} bytes", options.app, options.directory, quotas.disk);
  establish();
  server->run(stop.get());
  log::info("stopped; {} messages dropped", server->counters().dropped);
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  FacOptions options;
  Program program("furnace-fac", "FAC partition: stores values and passes on messages of one app");
  launch::add_options(program.options(), options);
  return program.run(argc, argv, [&] {
    const Status served = serve(options);
    if (!options.confined) protocol::remove_sockets(options.directory, protocol::kFacilitySockets);
    return served;
  });
}
