// read_pa in pieces of 4 MiB beside memcpy of the same memory, and beside what the transport gives with no
// work: ZeroMQ REQ and ROUTER over ipc whose server sends 4 MiB without a copy, and a bare UNIX socket pair.
// Usage: bench-throughput VMI-DIRECTORY RAM-FILE     (a VMI partition must serve there a VM that has its RAM
// in that file)
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>

#include "app/vmi_client.h"
#include "base/fd.h"
#include "samples.h"

namespace {

using namespace furnace;

constexpr size_t kPiece = 4 << 20;
constexpr int kPieces = 48;
constexpr uint64_t kFirst = 16 << 20;  // guest RAM that lies in one stretch in the file

/// Sends pieces of `ram` to whom asks, without a copy of its own.
void serve_bare(const std::string& address, std::span<const std::byte> ram) {
  zmq::context_t context(1);
  zmq::socket_t router(context, zmq::socket_type::rep);
  router.bind(address);
  for (size_t i = 0;; ++i) {
    zmq::message_t request;
    (void)router.recv(request);
    auto* data = const_cast<std::byte*>(ram.data()) + kFirst + (i % kPieces) * kPiece;
    router.send(zmq::message_t(
                    data, kPiece, [](void*, void*) {}, nullptr),
                zmq::send_flags::none);
  }
}

void serve_pair(int socket, std::span<const std::byte> ram) {
  for (size_t i = 0;; ++i) {
    char request = 0;
    if (::read(socket, &request, 1) != 1) ::_exit(0);
    const std::byte* from = ram.data() + kFirst + (i % kPieces) * kPiece;
    for (size_t done = 0; done < kPiece;) {
      const ssize_t put = ::write(socket, from + done, kPiece - done);
      if (put <= 0) ::_exit(0);
      done += static_cast<size_t>(put);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    fmt::print(stderr, "usage: bench-throughput VMI-DIRECTORY RAM-FILE\n");
    return 2;
  }
  const auto file = open_file(argv[2], O_RDONLY);
  if (!file) return 1;
  const auto mapping = Mapping::whole_file(*file, false);
  if (!mapping) return 1;
  const auto ram = mapping->bytes();
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) return 1;
  const std::string address = fmt::format("ipc://{}/bench_bare", argv[1]);
  const std::array<pid_t, 2> servers{::fork(), 0};
  if (servers[0] == 0) serve_bare(address, ram);
  const pid_t pair_server = ::fork();
  if (pair_server == 0) serve_pair(pair[1], ram);

  zmq::context_t context(1);
  auto bare = app::CallSocket::connect(context, address, "bench");
  auto client = app::VmiClient::connect(context, argv[1], "bench-throughput");
  if (!bare || !client) return 1;
  std::vector<std::byte> out(kPiece);
  zmq::message_t reply;
  std::vector<double> copy, transport, stream, ours;
  for (int round = 0; round < 4; ++round)
    for (int i = 0; i < kPieces; ++i) {
      const uint64_t gpa = kFirst + static_cast<uint64_t>(i) * kPiece;
      copy.push_back(bench::microseconds([&] { std::memcpy(out.data(), ram.data() + gpa, kPiece); }));
      transport.push_back(
          bench::microseconds([&] { (void)bare->ask(std::as_bytes(std::span("x", 1)), reply); }));
      stream.push_back(bench::microseconds([&] {
        (void)!::write(pair[0], "x", 1);
        for (size_t done = 0; done < kPiece;) {
          const ssize_t got = ::read(pair[0], out.data() + done, kPiece - done);
          if (got <= 0) return;
          done += static_cast<size_t>(got);
        }
      }));
      ours.push_back(bench::microseconds([&] { (void)client->read(guest::Gpa{gpa}, out); }));
    }
  const auto rate = [](const std::vector<double>& all) { return kPiece / bench::median(all); };  // MB/s
  fmt::print(
      "read_pa, 4 MiB: {:.0f} MB/s; memcpy {:.0f} MB/s ({:.0f} %), ZeroMQ with no work {:.0f} MB/s "
      "({:.2f}x), UNIX socket "
      "{:.0f} MB/s ({:.2f}x)\n",
      rate(ours), rate(copy), 100 * rate(ours) / rate(copy), rate(transport), rate(ours) / rate(transport),
      rate(stream), rate(ours) / rate(stream));
  ::kill(servers[0], SIGKILL);
  ::kill(pair_server, SIGKILL);
  while (::wait(nullptr) > 0) {
  }
  return 0;
}
