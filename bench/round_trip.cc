// One call over the VMI socket beside the floor: the same transport (ZeroMQ REQ and ROUTER over ipc) with no
// work. Usage: bench-round_trip VMI-DIRECTORY [rounds]     (a VMI partition must serve there)
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "app/vmi_client.h"
#include "samples.h"

namespace {

using namespace furnace;
using bench::microseconds;
using bench::Samples;

/// Sends back what it gets, for ever.
void echo(zmq::socket_t& router) {
  while (true) {
    std::vector<zmq::message_t> frames;
    do {
      frames.emplace_back();
      (void)router.recv(frames.back());
    } while (frames.back().more());
    for (size_t i = 0; i < frames.size(); ++i)
      router.send(frames[i], i + 1 < frames.size() ? zmq::send_flags::sndmore : zmq::send_flags::none);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    fmt::print(stderr, "usage: bench-round_trip VMI-DIRECTORY [rounds]\n");
    return 2;
  }
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 5000;
  const std::string address = fmt::format("ipc://{}/bench_rtr", argv[1]);
  const pid_t server = ::fork();  // a process of its own, as the VMI partition is
  if (server == 0) {
    zmq::context_t context;
    zmq::socket_t router(context, zmq::socket_type::router);
    router.bind(address);
    echo(router);
    ::_exit(0);
  }
  zmq::context_t context;
  auto bare = app::CallSocket::connect(context, address, "bench");
  auto client = app::VmiClient::connect(context, argv[1], "bench-app");
  if (!bare || !client) return 1;
  const auto banner = client->lookup_symbol("linux_banner");
  if (!banner) {
    fmt::print(stderr, "{}\n", banner.error().message());
    return 1;
  }
  Samples read;
  Samples list;
  for (int i = 0; i < rounds; ++i) {
    read.floor.push_back(microseconds([&] { (void)bare->ask(zmq::message_t(16)); }));
    read.call.push_back(microseconds([&] { (void)client->read_64_va(*banner, guest::Pid::Kernel); }));
    if (i % 10 != 0) continue;
    list.floor.push_back(microseconds([&] { (void)bare->ask(zmq::message_t(16)); }));
    list.call.push_back(microseconds([&] { (void)client->process_list(); }));
  }
  read.report("read_64_va, C++ client");
  list.report("process_list, C++ client");
  ::kill(server, SIGKILL);
  ::waitpid(server, nullptr, 0);
  return 0;
}
