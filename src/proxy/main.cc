// furnace-proxy: the message proxy of one app.
#include "base/log.h"
#include "base/signals.h"
#include "program/program.h"
#include "proxy/proxy.h"

namespace {

using namespace furnace;

struct Options {
  proxy::Options proxy;
  std::string app_key, backend_key;
};

Status serve(Options& options) {
  FURNACE_TRY(const Fd stop, stop_signals());
  FURNACE_TRY(options.proxy.app, protocol::load_secret(options.app_key));
  FURNACE_TRY(options.proxy.backend, protocol::load_secret(options.backend_key));
  zmq::context_t context(1);
  FURNACE_TRY(proxy::Proxy relay, proxy::Proxy::open(context, options.proxy));
  log::info("relaying between {}:{} and the backend at {}:{}", options.proxy.inside_ip,
            options.proxy.inside_port, options.proxy.outside_ip, options.proxy.outside_port);
  relay.run(stop.get());
  log::info("stopped");
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  Program program("furnace-proxy", "Message proxy between an app's FAC partition and its backend");
  auto& flags = program.options();
  flags.add_option("--ak,--app-key", options.app_key, "The app's secret key, app.key")->required();
  flags.add_option("--bk,--backend-key", options.backend_key, "The backend's secret key, be.key")->required();
  flags.add_option("--ip", options.proxy.inside_ip, "Address to listen on for FAC")->required();
  flags.add_option("--it", options.proxy.inside_port, "Port to listen on, and the next")
      ->capture_default_str();
  flags.add_option("--ep", options.proxy.outside_ip, "The backend's address")->required();
  flags.add_option("--et", options.proxy.outside_port, "The backend's port, and the next")
      ->capture_default_str();
  return program.run(argc, argv, [&] { return serve(options); });
}
