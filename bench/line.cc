// The line home: what a blind proxy costs beside a bare splice of the same bytes, what a route takes of
// memory, and how many messages a backend of 1,000 apps takes beside a bare ZeroMQ echo with the same peers.
// Usage: bench-line [APPS]
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>
#include <zmq.hpp>

#include "base/fd.h"
#include "base/file.h"
#include "facilities.pb.h"
#include "protocol/certificate.h"
#include "protocol/framing.h"
#include "samples.h"

namespace furnace {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

/// A process that goes with its owner.
class Child {
 public:
  explicit Child(const std::function<void()>& run) : pid_(::fork()) {
    if (pid_ != 0) return;
    run();
    ::_exit(0);
  }
  ~Child() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  [[nodiscard]] uint64_t resident_kb() const {
    std::ifstream status(fmt::format("/proc/{}/status", pid_));
    for (std::string line; std::getline(status, line);)
      if (line.starts_with("VmRSS:")) return std::stoull(line.substr(6));
    return 0;
  }

 private:
  pid_t pid_;
};

/// Our programs lie beside this one.
void become(const std::string& program, std::vector<std::string> arguments) {
  const fs::path path = fs::read_symlink("/proc/self/exe").parent_path() / program;
  arguments.insert(arguments.begin(), program);
  std::vector<char*> argv;
  argv.reserve(arguments.size() + 1);
  for (std::string& each : arguments) argv.push_back(each.data());
  argv.push_back(nullptr);
  const int quiet = ::open("/dev/null", O_WRONLY);
  ::dup2(quiet, STDERR_FILENO);
  ::execv(path.c_str(), argv.data());
}

sockaddr_in loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}
Fd listen_at(uint16_t port) {
  Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const auto address = loopback(port);
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    fmt::print(stderr, "port {} is in use\n", port);
  ::listen(socket.get(), 64);
  return socket;
}
Fd connect_to(uint16_t port) {
  const auto address = loopback(port);
  for (int i = 0; i < 500; ++i) {
    Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0)
      return socket;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return {};
}

constexpr uint16_t kInside = 17'001, kOutside = 17'011, kBare = 17'021, kEcho = 17'031, kBackend = 17'041;

/// One connection passed on by splice and nothing else.
void bare_splice() {
  const Fd listener = listen_at(kBare);
  while (true) {
    const Fd from(::accept(listener.get(), nullptr, nullptr));
    const Fd to = connect_to(kOutside);
    int pipe[2];
    if (::pipe(pipe) != 0) return;
    const Fd reading(pipe[0]), writing(pipe[1]);
    constexpr size_t piece = 64 << 10;
    for (ssize_t got = 0;
         (got = ::splice(from.get(), nullptr, writing.get(), nullptr, piece, SPLICE_F_MOVE)) > 0;)
      while (got > 0) {
        const ssize_t put =
            ::splice(reading.get(), nullptr, to.get(), nullptr, static_cast<size_t>(got), SPLICE_F_MOVE);
        if (put <= 0) break;
        got -= put;
      }
  }
}

/// What a proxy sees of a handshake: it connects to the backend for who begins as ZeroMQ does, and lets all
/// pass once the backend has said more than it says to strangers.
Fd shake_hands(const Fd& client, const Fd& listener, bool is_answered) {
  constexpr std::string_view signature("\xff\0\0\0\0\0\0\0\1\x7f", 10);
  (void)!::send(client.get(), signature.data(), signature.size(), MSG_NOSIGNAL);
  Fd server(::accept(listener.get(), nullptr, nullptr));
  std::string answer(1000, 'x');
  (void)!::recv(server.get(), answer.data(), signature.size(), MSG_WAITALL);
  if (!is_answered) return server;
  (void)!::send(server.get(), answer.data(), answer.size(), MSG_NOSIGNAL);
  (void)!::recv(client.get(), answer.data(), answer.size(), MSG_WAITALL);
  return server;
}

/// MB/s of bytes sent to `port`, which come out at the listener.
double throughput(uint16_t port, const Fd& listener) {
  constexpr size_t total = 512 << 20, piece = 256 << 10;
  const Fd client = connect_to(port);
  const Fd server = shake_hands(client, listener, port != kBare);
  std::thread writer([&] {
    const std::string data(piece, 'x');
    for (size_t sent = 0; sent < total;) {
      const ssize_t put = ::send(client.get(), data.data(), data.size(), MSG_NOSIGNAL);
      if (put <= 0) return;
      sent += static_cast<size_t>(put);
    }
  });
  std::string buffer(piece, '\0');
  const double time = bench::microseconds([&] {
    for (size_t got = 0; got < total;) {
      const ssize_t some = ::read(server.get(), buffer.data(), buffer.size());
      if (some <= 0) return;
      got += static_cast<size_t>(some);
    }
  });
  writer.join();
  return static_cast<double>(total) / time;
}

void measure_relay() {
  const Fd listener = listen_at(kOutside);
  const Child bare(bare_splice);
  const Child proxy([] {
    become("furnace-proxy", {"--blind", "--ip", "127.0.0.1", "--it", std::to_string(kInside), "--ep",
                             "127.0.0.1", "--et", std::to_string(kOutside)});
  });
  std::vector<double> direct, floor, ours;
  for (int round = 0; round < 5; ++round) {
    direct.push_back(throughput(kOutside, listener));
    floor.push_back(throughput(kBare, listener));
    ours.push_back(throughput(kInside, listener));
  }
  fmt::print("blind proxy: {:.0f} MB/s; bare splice {:.0f} MB/s ({:.2f}x), no proxy {:.0f} MB/s\n",
             bench::median(ours), bench::median(floor), bench::median(ours) / bench::median(floor),
             bench::median(direct));
}

void measure_routes(const fs::path& work) {
  const auto resident = [&](int routes, std::string_view lines) {
    const fs::path file = work / "routes.toml";
    std::string text;
    for (int i = 0; i < routes; ++i)
      text +=
          fmt::format("[[route]]\napp = \"app-{}\"\nlisten = \"127.0.0.1:{}\"\nbackend = \"127.0.0.1:9\"\n{}",
                      i, 20'000 + 2 * i, lines);
    (void)write_file(file, text);
    const Child proxy([&] { become("furnace-proxy", {"--routes", file}); });
    if (routes != 0) (void)connect_to(static_cast<uint16_t>(20'000 + 2 * (routes - 1)));
    std::this_thread::sleep_for(std::chrono::seconds(2));
    return proxy.resident_kb();
  };
  constexpr int routes = 1000;
  const std::string blind = "mode = \"blind\"\n",
                    message =
                        "mode = \"message\"\napp_key = \"keys/app.key\"\nbackend_key = \"keys/be.key\"\n";
  for (const auto& [name, lines] :
       {std::pair("blind", blind), std::pair("message", message),
        std::pair("message, with a limit of connections", message + "connections = 8\n")}) {
    const uint64_t none = resident(0, lines), many = resident(routes, lines);
    fmt::print("{} routes, {}: {:.1f} KB each ({} KB, without any {} KB)\n", routes, name,
               static_cast<double>(many - none) / routes, many, none);
  }
}

/// Answers whatever comes, as fast as ZeroMQ with CURVE can.
void echo(const protocol::Certificate& own) {
  zmq::context_t context(1);
  zmq::socket_t router(context, zmq::socket_type::router);
  router.set(zmq::sockopt::curve_server, true);
  router.set(zmq::sockopt::curve_secretkey, own.secret_key);
  router.bind(fmt::format("tcp://127.0.0.1:{}", kEcho));
  while (true) {
    zmq::pollitem_t item{router.handle(), 0, ZMQ_POLLIN, 0};
    zmq::poll(&item, 1, std::chrono::milliseconds(-1));
    while (auto frames = protocol::receive(router)) protocol::send(router, *frames);
  }
}

/// Answers a second that `peers` get that have one request under way each.
double rate(zmq::context_t& context, uint16_t port, const std::vector<protocol::Certificate>& keys,
            const std::string& backend_key) {
  facilities::FacMessage message;
  message.add_type(facilities::FacMessage::BE_MSG);
  message.add_be_msg()->set_value(std::string(1000, 'x'));
  const std::string body = message.SerializeAsString();
  std::vector<zmq::socket_t> peers;
  std::vector<zmq::pollitem_t> items;
  std::vector<std::string> names;
  for (size_t i = 0; i < keys.size(); ++i) {
    peers.emplace_back(context, zmq::socket_type::dealer);
    protocol::set_common_options(peers.back());
    protocol::use_curve(peers.back(), keys[i], backend_key);
    peers.back().connect(fmt::format("tcp://127.0.0.1:{}", port));
    items.push_back({peers.back().handle(), 0, ZMQ_POLLIN, 0});
    names.push_back(fmt::format("app-{}-r", i));
    protocol::send(peers.back(), {names.back(), "", body});
  }
  const auto count = [&](std::chrono::seconds time) {
    uint64_t answers = 0;
    for (const auto end = Clock::now() + time; Clock::now() < end;) {
      zmq::poll(items, std::chrono::milliseconds(100));
      for (size_t i = 0; i < peers.size(); ++i)
        while (items[i].revents != 0 && protocol::receive(peers[i])) {
          ++answers;
          protocol::send(peers[i], {names[i], "", body});
        }
    }
    return static_cast<double>(answers) / static_cast<double>(time.count());
  };
  (void)count(std::chrono::seconds(3));  // all are connected then
  return count(std::chrono::seconds(5));
}

void measure_backend(const fs::path& work, size_t apps) {
  const auto own = protocol::new_certificate();
  std::vector<protocol::Certificate> keys;
  fs::create_directories(work / "apps");
  for (size_t i = 0; i < apps; ++i) {
    keys.push_back(*protocol::new_certificate());
    (void)write_file(work / "apps" / fmt::format("app-{}.pub", i), to_zpl(keys.back(), false));
  }
  (void)write_file(work / "be.key", to_zpl(*own, true), 0600);
  (void)write_file(work / "backend.py",
                   "import be\nclass AppBE:\n    def __init__(self, ctx):\n"
                   "        be.event_register({'event_type': be.FE, 'callback': lambda ctx: ctx.message})\n");
  const Child bare([&] { echo(*own); });
  const Child backend([&] {
    become("furnace-backend", {"-c", work / "backend", "--ep", "127.0.0.1", "--et", std::to_string(kBackend),
                               "--apps", work / "apps", "--bk", work / "be.key", "--router"});
  });
  zmq::context_t context(1);
  context.set(zmq::ctxopt::max_sockets, 10'000);
  const double floor = rate(context, kEcho, keys, own->public_key);
  const double ours = rate(context, kBackend, keys, own->public_key);
  fmt::print(
      "backend, {} apps, requests of 1 KB answered in Python: {:.0f}/s; bare ZeroMQ echo {:.0f}/s "
      "({:.2f}x)\n",
      apps, ours, floor, ours / floor);
}

}  // namespace
}  // namespace furnace

int main(int argc, char** argv) {
  using namespace furnace;
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  std::string pattern = "/tmp/furnace-bench-XXXXXX";
  const fs::path work = ::mkdtemp(pattern.data());
  fs::create_directories(work / "keys");
  for (const char* name : {"app", "be"})
    (void)protocol::save_certificate(*protocol::new_certificate(), work / "keys", name);
  measure_relay();
  measure_routes(work);
  measure_backend(work, argc > 1 ? std::stoul(argv[1]) : 1000);
  fs::remove_all(work);
  return 0;
}
