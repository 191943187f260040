// A batch that walks 120 tasks (361 linked calls, one message) beside an in-process loop that reads the same
// from the same memory. What the batch costs above it, per linked read: in the VMI partition alone, and with
// the socket. Usage: bench-batch     (on the simulator; nothing has to run)
#include <filesystem>
#include <thread>

#include "app/batch_message.h"
#include "app/vmi_client.h"
#include "guest/linux/tasks.h"
#include "hypervisor/simulator/simulator.h"
#include "samples.h"
#include "vmi/server.h"

namespace {

using namespace furnace;
using bench::median;
using bench::microseconds;

constexpr int kTasks = 120;
constexpr int kRounds = 2000;

hypervisor::SimulatedGuest crowd() {
  hypervisor::SimulatedGuest guest = hypervisor::default_guest();
  for (int32_t pid = 1000; static_cast<int>(guest.tasks.size()) < kTasks; ++pid) {
    hypervisor::SimulatedTask task;
    task.pid = pid;
    task.ppid = 1;
    task.name = "worker";
    guest.tasks.push_back(task);
  }
  return guest;
}

struct Offsets {
  uint64_t head, tasks, pid, uid;
};

/// First the list's head; then for each task pid and flags, and the way to the next.
wire::VmiMessage walk(const Offsets& at) {
  wire::VmiMessage message;
  const auto add = [&](std::string_view call, uint64_t vaddr, int previous) {
    const std::array<app::NamedArgument, 2> arguments{app::NamedArgument{"vaddr", vaddr},
                                                      app::NamedArgument{"pid", uint64_t{0}}};
    std::optional<app::Link> link;
    if (previous >= 0) link = app::Link{static_cast<uint32_t>(previous), 0, 0, 1};
    (void)app::add_call(message, *protocol::find_call(call), arguments, link);
  };
  add("read_addr_va", at.head, -1);
  for (int task = 0; task < kTasks; ++task) {
    const int previous = 3 * task;
    add("read_32_va", at.pid - at.tasks, previous);
    add("read_32_va", at.uid - at.tasks, previous);
    add("read_addr_va", 0, previous);
  }
  return message;
}

/// The same reads by a loop on the same memory, through the same page tables.
uint64_t walk_in_process(const guest::AddressSpace& space, const Offsets& at) {
  uint64_t sum = 0;
  guest::Gva node{*space.read<uint64_t>(guest::Gva{at.head})};
  for (int task = 0; task < kTasks; ++task) {
    sum += *space.read<uint32_t>(node + (at.pid - at.tasks));
    sum += *space.read<uint32_t>(node + (at.uid - at.tasks));
    node = {*space.read<uint64_t>(node)};
  }
  return sum;
}

}  // namespace

int main() {
  auto made = hypervisor::Simulator::make(crowd());
  if (!made) return 1;
  vmi::Machine machine(*std::move(made), nullptr);
  const auto kernel = machine.kernel();
  const auto linux_guest = machine.linux_guest();
  if (!kernel || !linux_guest) return 1;
  const guest::AddressSpace& space = (*linux_guest)->kernel_space();
  Offsets at{};
  at.tasks = (*kernel)->member("task_struct", "tasks").value_or(0);
  at.pid = (*kernel)->member("task_struct", "pid").value_or(0);
  at.uid = (*kernel)->member("task_struct", "flags").value_or(0);
  at.head = (*kernel)->symbol("init_task")->value + at.tasks;
  const wire::VmiMessage message = walk(at);
  const std::string body = message.SerializeAsString();

  const vmi::Codecs codecs;
  const auto pool = std::make_shared<vmi::BufferPool>();
  vmi::Pauses pauses(machine.hypervisor());
  vmi::Session session;
  vmi::Events events(machine, pauses);
  const std::string directory =
      std::filesystem::temp_directory_path() / fmt::format("furnace-bench-{}", ::getpid());
  std::filesystem::create_directories(directory);
  std::vector<double> loop, engine;
  uint64_t sum = 0;
  for (int i = 0; i < kRounds; ++i) {
    loop.push_back(microseconds([&] { sum += walk_in_process(space, at); }));
    engine.push_back(microseconds([&] {
      vmi::CallContext context{machine, session, pauses, events};
      vmi::BatchRun run(codecs, std::as_bytes(std::span(body)), pool);
      while (!run.step(context, std::chrono::steady_clock::time_point::max())) {
      }
      sum += run.answer().size();
    }));
  }

  // The same over the socket, from a client that has its message ready.
  int stop[2];
  if (::pipe(stop) != 0) return 1;
  zmq::context_t context(1);
  std::vector<double> socket, empty;
  {
    auto server = vmi::Server::bind(directory, machine);
    auto client = app::VmiClient::connect(context, directory, "bench");
    if (!server || !client) return 1;
    std::thread serving([&] { (*server)->run(stop[0]); });
    const auto request = std::as_bytes(std::span(body));
    wire::VmiMessage nothing;
    nothing.add_type(wire::VmiMessage::STATUS);
    const std::string empty_body = nothing.SerializeAsString();
    zmq::message_t reply;
    for (int i = 0; i < kRounds; ++i) {
      empty.push_back(
          microseconds([&] { (void)client->call_socket().ask(std::as_bytes(std::span(empty_body)), reply); }));
      socket.push_back(microseconds([&] { (void)client->call_socket().ask(request, reply); }));
    }
    (void)!::write(stop[1], "", 1);
    serving.join();
  }
  std::filesystem::remove_all(directory);

  constexpr double reads = 3 * kTasks;
  const double floor = median(loop);
  fmt::print(
      "batch of {} linked reads: in-process loop {:.1f} us, batch engine {:.1f} us, over the socket {:.1f} "
      "us (an empty "
      "message: {:.1f} us)\n",
      reads + 1, floor, median(engine), median(socket), median(empty));
  fmt::print(
      "  above the loop, per linked read: engine {:.3f} us, over the socket {:.3f} us, of which the round "
      "trip {:.3f} us\n",
      (median(engine) - floor) / reads, (median(socket) - floor) / reads, median(empty) / reads);
  return sum == 0 ? 1 : 0;
}
