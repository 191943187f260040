// What one app's load does to another's: the latency of single reads alone, and beside an app that sends
// batches of 1000 reads without pause (by single numbers, and by pieces of 64 KB). Usage: bench-fairness
// VMI-DIRECTORY     (a VMI partition must serve there)
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "app/batch_message.h"
#include "app/vmi_client.h"
#include "samples.h"

namespace {

using namespace furnace;

/// Sends batches for ever.
void load(const std::string& directory, uint64_t address, uint64_t bytes) {
  zmq::context_t context(1);
  auto client = app::VmiClient::connect(context, directory, fmt::format("load-{}", ::getpid()));
  if (!client) return;
  wire::VmiMessage message;
  for (int i = 0; i < protocol::kMaxCalls; ++i) {
    const std::array<app::NamedArgument, 3> arguments{app::NamedArgument{"vaddr", address},
                                                      app::NamedArgument{"pid", uint64_t{0}},
                                                      app::NamedArgument{"count", bytes}};
    if (bytes == 0)
      (void)app::add_call(message, *protocol::find_call("read_64_va"), std::span(arguments).first(2),
                          std::nullopt);
    else
      (void)app::add_call(message, *protocol::find_call("read_va"), arguments, std::nullopt);
  }
  const std::string body = message.SerializeAsString();
  zmq::message_t reply;
  while (client->call_socket().ask(std::as_bytes(std::span(body)), reply)) {
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    fmt::print(stderr, "usage: bench-fairness VMI-DIRECTORY\n");
    return 2;
  }
  zmq::context_t context(1);
  auto client = app::VmiClient::connect(context, argv[1], "bench-fairness");
  if (!client) return 1;
  const auto banner = client->lookup_symbol("linux_banner");
  if (!banner) return 1;
  const auto latency = [&] {
    constexpr int calls = 3000;
    std::vector<double> all;
    all.reserve(calls);
    for (int i = 0; i < calls; ++i)
      all.push_back(bench::microseconds([&] { (void)client->read_64_va(*banner, guest::Pid::Kernel); }));
    return bench::median(all);
  };
  const double alone = latency();
  for (const auto& [what, bytes] :
       {std::pair{"numbers", uint64_t{0}}, {"pieces of 32 KB", uint64_t{32 << 10}}}) {
    const pid_t child = ::fork();
    if (child == 0) {
      load(argv[1], banner->value & ~uint64_t{0xfff}, bytes);
      ::_exit(0);
    }
    ::usleep(300'000);
    const double loaded = latency();
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    ::usleep(300'000);
    fmt::print("read_64_va beside batches of 1000 {:<16} median {:.0f} us, alone {:.0f} us ({:.2f}x)\n", what,
               loaded, alone, loaded / alone);
  }
  return 0;
}
