// The VMI partition on the simulator, over its real socket.
#include <random>
#include <set>

#include "app/vmi_client.h"
#include "base/bytes.h"
#include "hypervisor/simulator/simulator.h"
#include "support.h"
#include "vmi/server.h"

namespace furnace::vmi {
namespace {

using app::Argument;
using app::VmiClient;
using furnace::test::take;
using protocol::BatchError;
using wire::VmiMessage;

constexpr uint64_t kVariable = 0x1122334455667788;  // what the simulator's furnace_variable holds

hypervisor::SimulatedGuest named(const std::string& name) {
  hypervisor::SimulatedGuest guest = hypervisor::default_guest();
  guest.name = name;
  return guest;
}

class VmiPartition : public ::testing::Test {
 protected:
  VmiClient connect(const std::string& app) {
    return take(VmiClient::connect(context_, directory_.path(), app));
  }

  app::Value call(VmiClient& client, std::string_view name, std::vector<Argument> arguments) {
    return take(client.invoke(*protocol::find_call(name), arguments));
  }
  uint64_t number(VmiClient& client, std::string_view name, std::vector<Argument> arguments = {}) {
    return std::get<uint64_t>(call(client, name, std::move(arguments)));
  }
  std::string text(VmiClient& client, std::string_view name, std::vector<Argument> arguments = {}) {
    return std::get<std::string>(call(client, name, std::move(arguments)));
  }
  std::string failure(VmiClient& client, std::string_view name, std::vector<Argument> arguments = {}) {
    return furnace::test::message_of(client.invoke(*protocol::find_call(name), arguments));
  }

  furnace::test::TemporaryDirectory directory_;
  std::unique_ptr<hypervisor::Simulator> made_ = take(hypervisor::Simulator::make(named("sim")));
  hypervisor::Simulator* simulator_ = made_.get();
  Machine machine_{std::move(made_), nullptr};
  zmq::context_t context_;
  std::unique_ptr<Server> server_ = take(Server::bind(directory_.path(), machine_));
  furnace::test::Background thread_{[this](int stop) { server_->run(stop); }};
  VmiClient client_ = connect("unit-app");
};

TEST_F(VmiPartition, ReadsNumbersOfEveryWidthByEveryAddress) {
  const uint64_t gva = number(client_, "lookup_symbol", {"furnace_variable"});
  const uint64_t gpa = number(client_, "translate_kv2p", {gva});
  const std::vector<std::pair<std::string, uint64_t>> widths{{"8", kVariable & 0xff},
                                                             {"16", kVariable & 0xffff},
                                                             {"32", kVariable & 0xffffffff},
                                                             {"64", kVariable},
                                                             {"addr", kVariable}};
  for (const auto& [width, value] : widths) {
    EXPECT_EQ(number(client_, "read_" + width + "_va", {gva, uint64_t{0}}), value) << width;
    EXPECT_EQ(number(client_, "read_" + width + "_pa", {gpa}), value) << width;
    EXPECT_EQ(number(client_, "read_" + width + "_ksym", {"furnace_variable"}), value) << width;
  }
}

TEST_F(VmiPartition, AcceptsKernelAddressesWithoutTheirUpperBits) {
  const uint64_t gva = number(client_, "translate_ksym2v", {"furnace_variable"});
  EXPECT_EQ(number(client_, "read_64_va", {gva & 0xffffffffffff, uint64_t{0}}), kVariable);
}

TEST_F(VmiPartition, WritesNumbersAndBytes) {
  for (const auto* width : {"8", "16", "32", "64"}) {
    (void)call(client_, fmt::format("write_{}_ksym", width), {"furnace_variable", uint64_t{0x42}});
    EXPECT_EQ(number(client_, fmt::format("read_{}_ksym", width), {"furnace_variable"}), 0x42U) << width;
  }
  EXPECT_EQ(number(client_, "write_ksym", {"furnace_variable", "ABCDEFGH"}), 8U);
  EXPECT_EQ(text(client_, "read_ksym", {"furnace_variable", uint64_t{8}}), "ABCDEFGH");
}

TEST_F(VmiPartition, ReadsStringsAsValidUtf8) {
  EXPECT_TRUE(
      text(client_, "read_str_ksym", {"linux_banner"}).starts_with("Linux version 6.1.0-furnace-simulator"));
  (void)call(client_, "write_ksym",
             {"furnace_variable", std::string_view("a\xff"
                                                   "b\0",
                                                   4)});
  EXPECT_EQ(text(client_, "read_str_ksym", {"furnace_variable"}),
            "a\xef\xbf\xbd"
            "b");
}

TEST_F(VmiPartition, ReadsAndTranslatesInAProcess) {
  constexpr uint64_t arguments = 0x7ffff0000000;
  EXPECT_EQ(text(client_, "read_str_va", {arguments, uint64_t{307}}), "vim");
  EXPECT_EQ(text(client_, "read_str_va", {arguments, uint64_t{1}}), "/sbin/init");
  EXPECT_NE(number(client_, "translate_uv2p", {arguments, uint64_t{307}}),
            number(client_, "translate_uv2p", {arguments, uint64_t{1}}));
  EXPECT_NE(failure(client_, "read_8_va", {arguments, uint64_t{0}}).find("is not mapped"), std::string::npos);
  EXPECT_NE(failure(client_, "read_8_va", {arguments, uint64_t{9999}}).find("no process with pid 9999"),
            std::string::npos);
}

TEST_F(VmiPartition, ListsProcesses) {
  const auto list = take(client_.process_list());
  std::set<std::pair<int, std::string>> seen;
  for (const auto& process : list) seen.emplace(process.pid(), process.name());
  std::set<std::pair<int, std::string>> expected;
  for (const auto& task : hypervisor::default_guest().tasks) expected.emplace(task.pid, task.name);
  EXPECT_EQ(seen, expected);
  const uint64_t comm = number(client_, "get_offset", {"linux_name"});
  EXPECT_EQ(text(client_, "read_str_va", {list[0].process_block_ptr() + comm, uint64_t{0}}), list[0].name());
}

TEST_F(VmiPartition, AnswersCallsAboutTheVm) {
  EXPECT_EQ(text(client_, "get_name"), "sim");
  EXPECT_EQ(number(client_, "get_memsize"), 32U << 20);
  EXPECT_EQ(text(client_, "get_ostype"), "VMI_OS_LINUX");
  EXPECT_EQ(text(client_, "get_page_mode"), "VMI_PM_IA32E");
  EXPECT_EQ(number(client_, "get_access_mode"), 2U);
  EXPECT_EQ(number(client_, "status"), 1U);
  EXPECT_EQ(number(client_, "get_vcpureg", {"cr3", uint64_t{0}}),
            simulator_->kernel()->placement().table.root.value);
  EXPECT_EQ(number(client_, "lookup_structure", {"task_struct", "tasks"}),
            simulator_->kernel()->member("task_struct", "tasks").value_or(0));
  EXPECT_EQ(number(client_, "lookup_structure", {"task_struct", "tgid"}),
            simulator_->kernel()->member("task_struct", "tgid").value_or(0))
      << "a member of an anonymous one";
  EXPECT_NE(failure(client_, "get_winver").find("not Windows"), std::string::npos);
}

TEST_F(VmiPartition, FailuresNameCallArgumentsAndReason) {
  EXPECT_EQ(failure(client_, "read_64_va", {uint64_t{0x1000}, uint64_t{0}}),
            "read_64_va(vaddr=0x1000, pid=0): virtual address 0x1000 is not mapped (level 4 entry is empty)");
  EXPECT_EQ(failure(client_, "lookup_symbol", {"nothing"}),
            "lookup_symbol(symbol_name='nothing'): no kernel symbol 'nothing'");
  EXPECT_NE(failure(client_, "read_64_pa", {uint64_t{1} << 40}).find("not all in the guest's RAM"),
            std::string::npos);
  EXPECT_NE(failure(client_, "read_64_pa").find("no address given"), std::string::npos);
  EXPECT_NE(failure(client_, "read_pa", {uint64_t{0}, uint64_t{1} << 24}).find("expected 1 to"),
            std::string::npos);
  EXPECT_NE(failure(client_, "read_pa", {uint64_t{0}, uint64_t{0}}).find("expected 1 to"), std::string::npos);
  EXPECT_NE(failure(client_, "get_vcpureg", {"xyz"}).find("no register 'xyz'"), std::string::npos);
}

TEST_F(VmiPartition, AShortReadGivesTheBytesThatAreThere) {
  VmiMessage request;
  request.add_type(VmiMessage::READ_PA);
  request.add_read_pa()->set_paddr((32 << 20) - 5);
  request.mutable_read_pa(0)->set_count(100);
  const VmiMessage answer = take(client_.exchange(request));
  ASSERT_EQ(answer.read_pa_ret_size(), 1);
  EXPECT_EQ(answer.read_pa_ret(0).status(), 1);
  EXPECT_EQ(answer.read_pa_ret(0).bytes_read(), 5);
  EXPECT_EQ(answer.read_pa_ret(0).result().size(), 5U);
}

TEST_F(VmiPartition, AConnectionWithTheDescriptorOfOneThatEndedIsNotTakenForIt) {
  using hypervisor::RunState;
  for (int i = 0; i < 300; ++i) {
    VmiClient brief = connect(fmt::format("brief-app-{}", i));
    (void)call(brief, "pause_vm", {});
    ASSERT_EQ(simulator_->state(), RunState::Paused) << "connection " << i;
  }
  for (int i = 0; i < 200 && simulator_->state() == RunState::Paused; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_EQ(simulator_->state(), RunState::Running);
}

/// The socket of an app in a partition, once it is there.
std::string own_socket(const std::filesystem::path& directory, const std::string& app) {
  const auto own = directory / app;
  std::filesystem::create_directory(own);
  for (int i = 0; i < 500 && !std::filesystem::exists(own / "vmi_rtr"); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  return "ipc://" + (own / "vmi_rtr").string();
}

/// Whether PAUSE_VM was answered.
bool pause(app::CallSocket& socket) {
  socket.set_timeout(std::chrono::seconds(3));
  VmiMessage request;
  request.add_type(VmiMessage::PAUSE_VM);
  request.mutable_pause_vm();
  const std::string body = request.SerializeAsString();
  zmq::message_t reply;
  return socket.ask(std::as_bytes(std::span(body)), reply).has_value();
}

TEST_F(VmiPartition, AnAppThatComesAgainAtOnceIsAnswered) {
  const std::string address = own_socket(directory_.path(), "own-app");
  for (int i = 0; i < 200; ++i) {
    app::CallSocket again = take(app::CallSocket::connect(context_, address, "own-app-r"));
    ASSERT_TRUE(pause(again)) << "connection " << i;
  }
}

TEST_F(VmiPartition, PausesAreCountedPerAppAndReleasedWhenItGoes) {
  using hypervisor::RunState;
  (void)call(client_, "pause_vm", {});
  (void)call(client_, "pause_vm", {});
  (void)call(client_, "resume_vm", {});
  EXPECT_EQ(simulator_->state(), RunState::Paused);
  {
    VmiClient other = connect("other-app");
    (void)call(other, "pause_vm", {});
    EXPECT_NE(failure(other, "resume_vm"), "");
  }
  (void)call(client_, "resume_vm", {});
  EXPECT_NE(failure(client_, "resume_vm").find("has not paused"), std::string::npos);
  {
    VmiClient dying = connect("dying-app");
    (void)call(dying, "pause_vm", {});
    EXPECT_EQ(simulator_->state(), RunState::Paused);
  }
  for (int i = 0; i < 200 && simulator_->state() == RunState::Paused; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_EQ(simulator_->state(), RunState::Running);
}

TEST_F(VmiPartition, ASecondOneOnTheSameSocketIsRefused) {
  const auto second = Server::bind(directory_.path(), machine_);
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().message().find("another VMI partition serves there"), std::string::npos);
}

TEST_F(VmiPartition, ABatchIsAnsweredInOrderAndContinuesAfterFailures) {
  VmiMessage request;
  request.add_type(VmiMessage::PROCESS_LIST);  // its empty element left out
  request.add_type(VmiMessage::READ_8_PA);
  request.add_type(VmiMessage::READ_64_KSYM);
  request.add_type(VmiMessage::READ_8_PA);
  request.add_read_8_pa()->set_paddr(uint64_t{1} << 50);
  request.add_read_8_pa()->set_paddr(0);
  request.add_read_64_ksym()->set_symbol("furnace_variable");
  const VmiMessage answer = take(client_.exchange(request));
  EXPECT_FALSE(answer.error());
  EXPECT_EQ((std::vector<int>{answer.type().begin(), answer.type().end()}),
            (std::vector<int>{VmiMessage::PROCESS_LIST_RET, VmiMessage::READ_8_PA_RET,
                              VmiMessage::READ_64_KSYM_RET, VmiMessage::READ_8_PA_RET}));
  EXPECT_EQ(answer.process_list_ret(0).process_size(), 8);
  EXPECT_EQ(answer.read_8_pa_ret(0).status(), 1);
  EXPECT_EQ(answer.read_64_ksym_ret(0).result(), kVariable);
  EXPECT_EQ(answer.read_8_pa_ret(1).status(), 0);
}

/// TRANSLATE_KSYM2V(furnace_variable), then READ_64_VA of what `link` makes of it.
VmiMessage linked(uint64_t address, uint32_t message, uint32_t item, uint32_t target,
                  wire::Linkage::OperatorType op) {
  VmiMessage request;
  request.add_type(VmiMessage::TRANSLATE_KSYM2V);
  request.add_translate_ksym2v()->set_symbol("furnace_variable");
  request.add_type(VmiMessage::READ_64_VA);
  auto& read = *request.add_read_64_va();
  read.set_vaddr(address);
  auto& link = *read.mutable_link();
  link.set_prev_msg_ix(message);
  link.set_prev_item_ix(item);
  link.set_cur_item_ix(target);
  link.set_operator_(op);
  return request;
}

TEST_F(VmiPartition, LinksFeedEarlierAnswersIntoLaterCalls) {
  using wire::Linkage;
  EXPECT_EQ(take(client_.exchange(linked(7, 0, 0, 0, Linkage::F_OVERWRITE))).read_64_va_ret(0).result(),
            kVariable);
  EXPECT_EQ(take(client_.exchange(linked(4, 0, 0, 0, Linkage::F_ADD))).read_64_va_ret(0).result(),
            kVariable >> 32);
}

TEST_F(VmiPartition, BrokenLinksStopTheBatchWithTheirNumber) {
  using wire::Linkage;
  const auto error = [&](const VmiMessage& request) {
    const VmiMessage answer = take(client_.exchange(request));
    EXPECT_TRUE(answer.error());
    EXPECT_EQ(answer.type_size(), 1) << "the call before was executed";
    EXPECT_EQ(answer.error_loc(), 0);
    return answer.error_num();
  };
  EXPECT_EQ(error(linked(0, 1, 0, 0, Linkage::F_ADD)), 10) << "itself";
  EXPECT_EQ(error(linked(0, 9, 0, 0, Linkage::F_ADD)), 11);
  EXPECT_EQ(error(linked(0, 0, 9, 0, Linkage::F_ADD)), 18);
  EXPECT_EQ(error(linked(0, 0, 2, 0, Linkage::F_ADD)), 20) << "the reason, a text";
  EXPECT_EQ(error(linked(0, 0, 0, 9, Linkage::F_ADD)), 22);
  EXPECT_EQ(error(linked(0, 0, 0, 2, Linkage::F_ADD)), 25) << "the link itself";
  EXPECT_EQ(error(linked(0, 0, 0, 0, Linkage::F_SUB)), 26);
  VmiMessage no_operator = linked(0, 0, 0, 0, Linkage::F_ADD);
  no_operator.mutable_read_64_va(0)->mutable_link()->clear_operator_();
  EXPECT_EQ(error(no_operator), 27);
}

TEST_F(VmiPartition, WhatCanNotBeExecutedAtAllIsAnErrorOfTheBatch) {
  VmiMessage unknown;
  unknown.add_type(VmiMessage::STATUS);
  unknown.add_type(4711);
  VmiMessage answer = take(client_.exchange(unknown));
  EXPECT_TRUE(answer.error());
  EXPECT_EQ(answer.error_num(), 4711);
  EXPECT_EQ(answer.error_loc(), 10000);
  EXPECT_EQ(answer.type_size(), 1);

  VmiMessage twice;
  twice.add_type(VmiMessage::GET_NAME);
  twice.add_type(VmiMessage::GET_NAME);
  EXPECT_TRUE(take(client_.exchange(twice)).error());

  EXPECT_EQ(take(client_.exchange({})).error_num(), static_cast<int>(BatchError::Malformed))
      << "an empty body";
  VmiMessage many;
  for (int i = 0; i < 1000; ++i) many.add_type(VmiMessage::PROCESS_LIST);
  EXPECT_EQ(take(client_.exchange(many)).type_size(), 1000);
  many.add_type(VmiMessage::PROCESS_LIST);
  EXPECT_EQ(take(client_.exchange(many)).error_num(), static_cast<int>(BatchError::CallCount));
}

TEST_F(VmiPartition, ABatchCanNotAskForMoreThanAnAnswerHolds) {
  VmiMessage request;
  for (int i = 0; i < 1000; ++i) {
    request.add_type(VmiMessage::READ_PA);
    request.add_read_pa()->set_paddr(0);
    request.mutable_read_pa(i)->set_count((1 << 24) - 1);
  }
  const VmiMessage answer = take(client_.exchange(request));
  ASSERT_EQ(answer.read_pa_ret_size(), 1000);
  EXPECT_EQ(answer.read_pa_ret(0).status(), 0);
  EXPECT_EQ(answer.read_pa_ret(999).status(), 1);
  EXPECT_NE(answer.read_pa_ret(999).reason().find("in another message"), std::string::npos);
  EXPECT_LT(answer.ByteSizeLong(), size_t{protocol::kMaxAnswerSize});
}

/// A socket that sends anything.
class RawPeer {
 public:
  RawPeer(zmq::context_t& context, const std::filesystem::path& directory, zmq::socket_type type,
          const std::string& identity)
      : socket_(context, type) {
    socket_.set(zmq::sockopt::routing_id, identity);
    socket_.set(zmq::sockopt::linger, 0);
    socket_.set(zmq::sockopt::rcvtimeo, 10'000);
    socket_.connect("ipc://" + (directory / "vmi_rtr").string());
  }
  void send(const std::vector<std::string_view>& frames) { ASSERT_TRUE(protocol::send(socket_, frames)); }
  /// The answer's bytes after the empty frame that a DEALER sees.
  std::optional<std::string> receive() {
    std::vector<std::string> parts;
    bool more = true;
    while (more) {
      zmq::message_t part;
      if (!socket_.recv(part)) return std::nullopt;
      parts.push_back(part.to_string());
      more = part.more();
    }
    return parts.back();
  }

 private:
  zmq::socket_t socket_;
};

// While the partition is busy one connection ends, and another one gets its descriptor.
TEST_F(VmiPartition, TheEndOfAConnectionIsNotTakenForThatOfOneAtAnotherSocket) {
  const std::string address = own_socket(directory_.path(), "own-app");
  RawPeer busy(context_, directory_.path(), zmq::socket_type::dealer, "busy-r");
  VmiMessage long_call;
  long_call.add_type(VmiMessage::READ_PA);
  long_call.add_read_pa()->set_paddr(0);
  long_call.mutable_read_pa(0)->set_count(10 << 20);
  const std::string body = long_call.SerializeAsString();
  for (int i = 0; i < 100; ++i) {
    auto brief = std::make_unique<VmiClient>(connect(fmt::format("brief-app-{}", i)));
    (void)number(*brief, "status");
    for (int calls = 0; calls < 3; ++calls) busy.send({"", body});
    brief.reset();
    app::CallSocket own = take(app::CallSocket::connect(context_, address, "own-app-r"));
    ASSERT_TRUE(pause(own));
    for (int calls = 0; calls < 3; ++calls) ASSERT_TRUE(busy.receive());
    ASSERT_EQ(simulator_->state(), hypervisor::RunState::Paused) << "connection " << i;
  }
}

TEST_F(VmiPartition, MalformedMessagesAreAnsweredOrDropped) {
  RawPeer peer(context_, directory_.path(), zmq::socket_type::dealer, "raw-r");
  for (const std::string& body : {std::string(), std::string("\xff\xff\xff"), std::string(1000, '\0')}) {
    peer.send({"", body});
    VmiMessage answer;
    const auto reply = peer.receive();
    ASSERT_TRUE(reply);
    ASSERT_TRUE(answer.ParseFromString(*reply));
    EXPECT_TRUE(answer.error());
    EXPECT_EQ(answer.error_num(), static_cast<int>(BatchError::Malformed));
  }
  peer.send({"", "too", "many"});
  EXPECT_TRUE(peer.receive());
  peer.send({"one way"});
  peer.send({"not", "empty", "first"});
  EXPECT_EQ(number(client_, "status"), 1U);
}

TEST_F(VmiPartition, TwentyThousandHostileMessagesAreAllAnswered) {
  RawPeer peer(context_, directory_.path(), zmq::socket_type::dealer, "fuzz-r");
  std::mt19937 random(42);
  std::vector<std::string> valid;
  for (const protocol::Call& call : protocol::calls()) {
    VmiMessage message;
    message.add_type(call.number);
    const auto* field = VmiMessage::descriptor()->FindFieldByNumber(call.number);
    if (field->is_repeated()) message.GetReflection()->AddMessage(&message, field);
    valid.push_back(message.SerializeAsString());
  }
  valid.push_back(linked(0, 0, 0, 0, wire::Linkage::F_OVERWRITE).SerializeAsString());
  for (int i = 0; i < 20'000; ++i) {
    std::string body;
    if (i % 2 == 0) {
      body.resize(random() % 64);
      for (char& c : body) c = static_cast<char>(random());
    } else {
      for (unsigned parts = 1 + random() % 3; parts != 0; --parts) body += valid[random() % valid.size()];
      for (unsigned flips = random() % 4; flips != 0; --flips)
        body[random() % body.size()] = static_cast<char>(random());
    }
    peer.send({"", body});
    VmiMessage answer;
    const auto reply = peer.receive();
    ASSERT_TRUE(reply) << "message " << i << " was not answered";
    ASSERT_TRUE(answer.ParseFromString(*reply));
  }
  EXPECT_EQ(number(client_, "status"), 1U);
}

/// Of a guest whose list of processes takes many steps.
class CrowdedPartition : public ::testing::Test {
 protected:
  static hypervisor::SimulatedGuest crowd() {
    hypervisor::SimulatedGuest guest = hypervisor::default_guest();
    for (int32_t pid = 10'000; pid < 11'500; ++pid) {
      hypervisor::SimulatedTask task;
      task.pid = pid;
      task.name = "worker";
      task.kernel_thread = true;
      guest.tasks.push_back(task);
    }
    return guest;
  }

  furnace::test::TemporaryDirectory directory_;
  std::unique_ptr<hypervisor::Simulator> made_ = take(hypervisor::Simulator::make(crowd()));
  hypervisor::Simulator* simulator_ = made_.get();
  Machine machine_{std::move(made_), nullptr};
  zmq::context_t context_;
  std::unique_ptr<Server> server_ = take(Server::bind(directory_.path(), machine_));
  furnace::test::Background thread_{[this](int stop) { server_->run(stop); }};
};

TEST_F(CrowdedPartition, AnAppThatLeavesInTheMiddleOfACallHoldsNothing) {
  VmiClient neighbour = take(VmiClient::connect(context_, directory_.path(), "neighbour"));
  VmiMessage request;
  request.add_type(VmiMessage::PAUSE_VM);
  request.mutable_pause_vm();
  for (int i = 0; i < 200; ++i) request.add_type(VmiMessage::PROCESS_LIST);
  for (int i = 0; i < 5; ++i) {
    {
      RawPeer leaving(context_, directory_.path(), zmq::socket_type::dealer, "leaving-r");
      leaving.send({"", request.SerializeAsString()});
      for (int tries = 0; tries < 500 && simulator_->state() != hypervisor::RunState::Paused; ++tries)
        ASSERT_TRUE(neighbour.invoke(*protocol::find_call("status"), {}));
      ASSERT_EQ(simulator_->state(), hypervisor::RunState::Paused);
    }
    // It is served meanwhile, and what the other has asked is not done to its end: that takes seconds here.
    for (int tries = 0; tries < 500 && simulator_->state() == hypervisor::RunState::Paused; ++tries)
      ASSERT_TRUE(neighbour.invoke(*protocol::find_call("status"), {}));
    EXPECT_EQ(simulator_->state(), hypervisor::RunState::Running);
  }
  EXPECT_EQ(take(neighbour.process_list()).size(), crowd().tasks.size());
}

TEST_F(VmiPartition, HostileTaskListsEnd) {
  const uint64_t init_task = number(client_, "lookup_symbol", {"init_task"});
  const uint64_t tasks = number(client_, "lookup_structure", {"task_struct", "tasks"});
  const auto list = take(client_.process_list());
  // The first task's successor is itself: a list that never comes back to its head.
  const uint64_t node = list[0].process_block_ptr() + tasks;
  (void)call(client_, "write_64_va", {node, uint64_t{0}, node});
  EXPECT_EQ(take(client_.process_list()).size(), list.size()) << "from its other end";
  (void)call(client_, "write_64_va", {node, uint64_t{0}, uint64_t{0x1234}});
  EXPECT_EQ(take(client_.process_list()).size(), list.size());
  (void)call(client_, "write_64_va", {node, uint64_t{0}, init_task + tasks});
  EXPECT_EQ(take(client_.process_list()).size(), 1);
}

}  // namespace
}  // namespace furnace::vmi
