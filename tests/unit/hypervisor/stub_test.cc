// The gdb stub's protocol: packets, stops, register layouts, and what QEMU's own stub takes; and
// instructions.
#include "hypervisor/qemu/stub.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <nlohmann/json.hpp>

#include "base/bytes.h"
#include "hypervisor/qemu/memory_access.h"
#include "hypervisor/qemu/setup.h"
#include "hypervisor/qemu/step_hazard.h"
#include "support.h"

namespace furnace::hypervisor {
namespace {

using furnace::test::message_of;
using furnace::test::take;

TEST(GdbPackets, ComeOutAsTheyWentInInWhateverPieces) {
  const std::string stream =
      "+" + gdb_packet("OK") + "+garbage" + gdb_packet("T05thread:p01.01;") + gdb_packet("");
  for (size_t piece = 1; piece < stream.size(); ++piece) {
    GdbPacketReader reader;
    std::vector<std::string> packets;
    for (size_t at = 0; at < stream.size(); at += piece) {
      ASSERT_TRUE(reader.append(std::string_view(stream).substr(at, piece)));
      while (auto packet = reader.next()) packets.push_back(*packet);
    }
    EXPECT_EQ(packets, (std::vector<std::string>{"OK", "T05thread:p01.01;", ""})) << piece;
  }
}

TEST(GdbPackets, OfAWrongChecksumArePassedOver) {
  GdbPacketReader reader;
  ASSERT_TRUE(reader.append("$OK#00$OK#9a"));
  EXPECT_EQ(reader.next(), "OK");
  EXPECT_EQ(reader.next(), std::nullopt);
}

TEST(GdbPackets, WithoutEndAreRefused) {
  GdbPacketReader reader;
  Status appended;
  for (int i = 0; i < 100 && appended; ++i) appended = reader.append("$" + std::string(4096, 'x'));
  EXPECT_NE(message_of(appended).find("without the end of a packet"), std::string::npos);
}

TEST(Stops, NameVcpuAndWatchpoint) {
  const auto stop = parse_stop("T05thread:p01.0b;rwatch:ffff888003c19aa4;");
  ASSERT_TRUE(stop);
  EXPECT_EQ(stop->vcpu, 10U);
  EXPECT_TRUE(stop->by_debug);
  EXPECT_EQ(stop->watch, (StubPoint{StubPoint::Kind::Read, 0xffff888003c19aa4, 0}));
  EXPECT_FALSE(parse_stop("T02thread:p01.01;")->by_debug);
  for (const char* bad : {"", "T", "OK", "T05", "T05thread:", "T05thread:p01.00;", "T05thread:pxx.yy;"})
    EXPECT_FALSE(parse_stop(bad)) << bad;
}

constexpr std::string_view kDescription = R"(<feature name="org.gnu.gdb.i386.core">
  <reg name="rax" bitsize="64" type="int64" regnum="0"/> <reg name="rip" bitsize="64"/>
  <reg name="eflags" bitsize="32" type="x64_eflags"/> <!-- <reg name="cs_base" bitsize="64"/> -->
  <reg name="st0" bitsize="80" type="i387_ext"/> <reg name="gs_base" bitsize="64"/>
  <reg name="cr3" bitsize="64"/> <reg name="cr4" bitsize="64"/> <reg name="cr0" bitsize="64"/>
  <reg name="rsp" bitsize="64"/> <reg name="rbp" bitsize="64"/> <reg name="rdi" bitsize="64"/>
  <reg name="rsi" bitsize="64"/> <reg name="rdx" bitsize="64"/> <reg name="r10" bitsize="64"/>
  <reg name="r8" bitsize="64"/> <reg name="r9" bitsize="64"/></feature>)";

TEST(RegisterLayout, FindsRegistersWhereTheDescriptionHasThem) {
  const auto layout = take(RegisterLayout::parse(kDescription));
  EXPECT_EQ(layout.number(Reg::Rip), 1U);
  EXPECT_EQ(layout.number(Reg::Cr3), 5U);
  const std::string answer =
      "0100000000000000"
      "efcdab8967452301"
      "02000000" +
      std::string(20, '0') +
      "0000000000000080"
      "00a0000000000000"
      "2000000000000000" +
      std::string(9 * 16, '0');
  const auto registers = take(layout.decode(answer));
  EXPECT_EQ(registers.get(Reg::Rax), 1U);
  EXPECT_EQ(registers.get(Reg::Rip), 0x0123456789abcdefU);
  EXPECT_EQ(registers.get(Reg::Rflags), 2U);
  EXPECT_EQ(registers.get(Reg::GsBase), 1ULL << 63);
  EXPECT_EQ(registers.get(Reg::Cr3), 0xa000U);
  EXPECT_EQ(message_of(layout.decode(answer.substr(0, answer.size() - 32))), "gdb stub: no register r8, r9");
}

TEST(RegisterLayout, RefusesDescriptionsThatLackWhatIsNeeded) {
  EXPECT_NE(message_of(RegisterLayout::parse("<feature/>")).find("no register rax"), std::string::npos);
  EXPECT_NE(message_of(RegisterLayout::parse(R"(<reg name="rax" bitsize="7"/>)")).find("of 7 bits"),
            std::string::npos);
}

std::optional<Instruction> decode(std::initializer_list<uint8_t> code, const Registers& registers, bool ran) {
  std::vector<std::byte> bytes;
  for (const uint8_t byte : code) bytes.push_back(std::byte{byte});
  return Disassembler().decode(bytes, 0x1000, registers, ran);
}

TEST(Instructions, NameTheMemoryThatTheyAccess) {
  Registers registers;
  for (const auto& [reg, value] : std::map<Reg, uint64_t>{
           {Reg::Rsp, 0x8000}, {Reg::Rbx, 0x100}, {Reg::Rcx, 2}, {Reg::Rdi, 0x5008}, {Reg::GsBase, 0x10000}})
    registers.set(reg, value);
  const auto store = decode({0x48, 0x89, 0x44, 0xcb, 0x08}, registers, true);  // mov %rax,8(%rbx,%rcx,8)
  ASSERT_EQ(store->memory.size(), 1U);
  EXPECT_EQ(store->memory[0].address, 0x118U);
  EXPECT_TRUE(store->memory[0].writes && !store->memory[0].reads);
  const auto gs = decode({0x65, 0x8b, 0x04, 0x25, 0x20, 0, 0, 0}, registers, true);  // mov %gs:0x20,%eax
  EXPECT_EQ(gs->memory.at(0).address, 0x10020U);
  EXPECT_TRUE(gs->memory[0].reads && !gs->memory[0].writes);
  const auto push = decode({0x53}, registers, true);  // push %rbx, which has run
  EXPECT_EQ(push->memory.at(0).address, 0x8000U);
  const auto stos = decode({0xf3, 0x48, 0xab}, registers, true);  // rep stos
  EXPECT_TRUE(stos->repeats);
  EXPECT_EQ(stos->memory.at(0).address, 0x5000U);
}

PassBy pass(std::initializer_list<uint8_t> code) {
  std::vector<std::byte> bytes;
  for (const uint8_t byte : code) bytes.push_back(std::byte{byte});
  bytes.resize(std::max<size_t>(bytes.size(), 15), std::byte{0x90});
  return pass_by(bytes);
}

TEST(PassBy, RunsOverInstructionsThatLockTheBus) {
  EXPECT_EQ(pass({0xf0, 0x0f, 0xb1, 0x17}), PassBy::Run);              // lock cmpxchg %edx,(%rdi)
  EXPECT_EQ(pass({0x66, 0xf0, 0x0f, 0xc1, 0x07}), PassBy::Run);        // lock xadd %ax,(%rdi)
  EXPECT_EQ(pass({0x65, 0xf0, 0xff, 0x04, 0x25}), PassBy::Run);        // lock incl %gs:...
  EXPECT_EQ(pass({0xf0, 0x48, 0x0f, 0xba, 0x28, 0x01}), PassBy::Run);  // lock btsq $1,(%rax)
  EXPECT_EQ(pass({0x87, 0x07}), PassBy::Run);                          // xchg %eax,(%rdi)
  EXPECT_EQ(pass({0x48, 0x87, 0x07}), PassBy::Run);                    // xchg %rax,(%rdi)
  EXPECT_EQ(pass({0x41, 0x86, 0x04, 0x24}), PassBy::Run);              // xchg %al,(%r12)
}

TEST(PassBy, RunsOverInstructionsThatWait) {
  EXPECT_EQ(pass({0xf3, 0x90}), PassBy::Run);        // pause
  EXPECT_EQ(pass({0xf4}), PassBy::Run);              // hlt
  EXPECT_EQ(pass({0x0f, 0x01, 0xc9}), PassBy::Run);  // mwait
}

TEST(PassBy, StepsOverAllOthers) {
  EXPECT_EQ(pass({0x0f, 0xb1, 0x17}), PassBy::Step);        // cmpxchg %edx,(%rdi), not locked
  EXPECT_EQ(pass({0x87, 0xc7}), PassBy::Step);              // xchg %eax,%edi
  EXPECT_EQ(pass({0x90}), PassBy::Step);                    // nop
  EXPECT_EQ(pass({0xf3, 0x48, 0xab}), PassBy::Step);        // rep stos
  EXPECT_EQ(pass({0xf3, 0x0f, 0x1e, 0xfa}), PassBy::Step);  // endbr64
  EXPECT_EQ(pass({0x48, 0x89, 0x44, 0xcb}), PassBy::Step);  // mov
}

TEST(PassBy, DoesNotStepOverCodeThatCanNotBeRead) {
  EXPECT_EQ(pass_by({}), PassBy::Run);
  const std::array cut{std::byte{0x48}};
  EXPECT_EQ(pass_by(cut), PassBy::Run);
}

TEST(Instructions, FindWhatNeedsNoStep) {
  const Registers none;
  EXPECT_TRUE(decode({0x0f, 0x1f, 0x44, 0x00, 0x00}, none, false)->no_effect);  // the tracer's nop
  EXPECT_TRUE(decode({0xf3, 0x0f, 0x1e, 0xfa}, none, false)->no_effect);        // endbr64
  EXPECT_FALSE(decode({0x55}, none, false)->no_effect);                         // push %rbp
  EXPECT_TRUE(decode({0x0f, 0x05}, none, false)->enters_kernel);                // syscall
  EXPECT_TRUE(decode({0xc3}, none, false)->goes_elsewhere);                     // ret
  EXPECT_FALSE(decode({0xff, 0xff}, none, false).has_value());
}

/// A QEMU whose guest does nothing.
class IdleQemu {
 public:
  explicit IdleQemu(const char* cpu = "qemu64") {
    const std::string monitor = fmt::format("unix:{},server=on,wait=off", socket_.string());
    pid_ = ::fork();
    if (pid_ == 0) {
      ::execlp("qemu-system-x86_64", "qemu-system-x86_64", "-accel", "tcg", "-cpu", cpu, "-m", "64",
               "-display", "none", "-nodefaults", "-qmp", monitor.c_str(), nullptr);
      ::_exit(127);
    }
  }
  ~IdleQemu() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  IdleQemu(const IdleQemu&) = delete;
  IdleQemu& operator=(const IdleQemu&) = delete;

  Result<Qmp> connect() {
    constexpr int tries = 500;  // the socket is there before QEMU listens
    auto connected = Qmp::connect(socket_);
    for (int i = 0; i < tries && !connected; ++i) {
      ::usleep(10'000);
      connected = Qmp::connect(socket_);
    }
    return connected;
  }

 private:
  furnace::test::TemporaryDirectory directory_;
  std::filesystem::path socket_ = directory_.path() / "qmp";
  pid_t pid_ = -1;
};

TEST(Qemu, LosesFlagsWhereItEmulatesCmpxchg16bAndIsOld) {
  IdleQemu with("max"), without("max,-cx16");
  Qmp qmp = take(with.connect());
  const auto version = nlohmann::json::parse(take(qmp.command("query-version")));
  EXPECT_EQ(take(loses_flags(qmp)), version["qemu"]["major"] < 8);
  Qmp other = take(without.connect());
  EXPECT_FALSE(take(loses_flags(other)));
}

TEST(Stub, IsLetGoAfterEverythingThatAKilledOwnerHasAsked) {
  IdleQemu qemu;
  Qmp qmp = take(qemu.connect());
  auto ends = take(socket_pair());
  GdbRemote guard(Fd(::dup(ends.first.get())));
  Stub stub = take(Stub::open(qmp, std::move(ends.first), ends.second));
  for (int i = 0; i < 5; ++i)
    ASSERT_TRUE(guard.send("Hgp1.1"));  // each is answered with OK, which nobody reads
  ASSERT_TRUE(guard.send_raw("$vCo"));  // killed in the middle of a packet
  ASSERT_TRUE(Stub::let_go(guard, true, Stub::By::Guard));
  EXPECT_EQ(take(guard.try_receive()), std::nullopt);
  EXPECT_NE(take(qmp.command("query-status")).find("\"running\":true"), std::string::npos);
}

TEST(Stub, IsLetGoByItsOwnerAndByTheGuardAfterItWithoutHarm) {
  IdleQemu qemu;
  Qmp qmp = take(qemu.connect());
  auto ends = take(socket_pair());
  Fd guards(::dup(ends.first.get()));
  {
    Stub stub = take(Stub::open(qmp, std::move(ends.first), ends.second));
    ASSERT_TRUE(stub.insert({StubPoint::Kind::Breakpoint, 0x1000, 1}));
  }
  GdbRemote remote(std::move(guards));
  ASSERT_TRUE(Stub::let_go(remote, false, Stub::By::Guard));
  EXPECT_NE(take(qmp.command("query-status")).find("\"running\":false"), std::string::npos);
  for (const auto by : {Stub::By::Owner, Stub::By::Guard}) {
    ASSERT_TRUE(Stub::let_go(remote, true, by));
    EXPECT_NE(take(qmp.command("query-status")).find("\"running\":true"), std::string::npos);
  }
}

TEST(Stub, IsRemovedByTheGuardOnlyWhenItsOwnerHasEnded) {
  IdleQemu qemu;
  Qmp qmp = take(qemu.connect());
  const auto has_device = [&] {
    return take(qmp.command("query-chardev")).find("furnace-gdb") != std::string::npos;
  };
  {
    auto ends = take(socket_pair());
    Stub successor = take(Stub::open(qmp, std::move(ends.first), ends.second));
    Stub::remove_left(qmp);
    EXPECT_TRUE(has_device());
    EXPECT_TRUE(successor.registers(0));
  }
  Stub::remove_left(qmp);
  EXPECT_FALSE(has_device());
}

}  // namespace
}  // namespace furnace::hypervisor
