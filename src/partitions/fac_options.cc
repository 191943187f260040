#include "partitions/fac_options.h"

namespace furnace::partitions {

void add_options(CLI::App& flags, FacOptions& options) {
  flags.add_option("--u2,--app", options.app, "The app's id")->required();
  flags.add_option("--qt,--quota", options.quotas,
                   "Quotas, key:value[,key:value...]; _furnace_max_disk: bytes of storage (10000000); "
                   "_furnace_max_outbox: of durable messages that wait (10000000)");
  flags.add_option("--kp,--keys", options.keys, "Directory with be.pub and app.key")->required();
  flags.add_option("--it,--port", options.proxy_port, "The proxy's port")->capture_default_str();
  flags.add_option("--ip", options.proxy_ip, "The proxy's address")->required();
  flags.add_option("--fac", options.directory, "Directory for the sockets fac_rtr and fac_pub")->required();
  flags.add_option("--storage", options.storage,
                   "Directory for stored values; default: storage beside the sockets'");
  flags.add_flag("--blind", options.blind,
                 "The proxy is blind: it passes connections on, and the backend answers there");
  flags.add_option("--metrics", options.metrics,
                   "Where to show counters (Prometheus text): ADDRESS:PORT, or a socket's path");
  flags.add_option("--metrics-descriptor", options.metrics_descriptor)->group("");
  flags.add_flag("--in-partition", options.confined)->group("");
  flags.add_option("--counter", options.counter)->group("");
}

}  // namespace furnace::partitions
