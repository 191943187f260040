#include "hypervisor/qemu/qemu.h"

#include "hypervisor/qemu/guest_ram.h"
#include "hypervisor/qemu/host.h"
#include "hypervisor/qemu/process.h"
#include "hypervisor/qemu/qmp_messages.h"
#include "support.h"

namespace furnace::hypervisor {
namespace {

// `info mtree -f` of QEMU 7.2, -machine q35,memory-backend=mem -m 4G, shortened.
constexpr const char* kFlatView = R"(FlatView #0
 AS "I/O", root: io
 Root memory region: io
  0000000000000000-0000000000000007 (prio 0, i/o): dma-chan

FlatView #1
 AS "memory", root: system
 AS "cpu-memory-0", root: system
 Root memory region: system
  0000000000000000-000000000009ffff (prio 0, ram): mem
  00000000000a0000-00000000000affff (prio 2, ram): vga.vram
  00000000000b0000-00000000000bffff (prio 1, i/o): vga-lowmem @0000000000010000
  00000000000c0000-00000000000c3fff (prio 1, rom): mem @00000000000c0000
  00000000000c4000-000000007fffffff (prio 0, ram): mem @00000000000c4000 KVM
  00000000fffc0000-00000000ffffffff (prio 0, rom): pc.bios
  0000000100000000-000000017fffffff (prio 0, ram): mem @0000000080000000
  0000000180000000-00000001bfffffff (prio 0, ram): dimm1

FlatView #2
 AS "nothing", root: none
)";

TEST(FlatView, GivesOnlyTheMainMemoryAndBackends) {
  const auto pieces = parse_flat_view(kFlatView, {"mem", "dimm1"});
  ASSERT_EQ(pieces.size(), 5U);
  EXPECT_EQ(pieces[0].range.end, guest::Gpa{0xa0000});
  EXPECT_EQ(pieces[2].offset, 0xc4000U);
  EXPECT_EQ(pieces[3].range.start, guest::Gpa{0x100000000});
  EXPECT_EQ(pieces[3].offset, 0x80000000U);
  EXPECT_EQ(pieces[4].region, "dimm1");
}

TEST(FlatView, KnowsBackendsAtTheEndOfALineAndByTheirPaths) {
  const auto pieces = parse_flat_view(
      "Root memory region: system\r\n"
      "  0000000000000000-000000000fffffff (prio 0, ram): /objects/a\r\n"
      "  0000000010000000-000000001fffffff (prio 0, ram): b\r\n"
      "  0000000020000000-000000002fffffff (prio 0, ram): /objects/c KVM\r\n"
      "  0000000030000000-000000003fffffff (prio 0, ram): vga.vram\r\n",
      {"a", "b", "c"});
  ASSERT_EQ(pieces.size(), 3U);
  EXPECT_EQ(pieces[1].region, "b");
  EXPECT_EQ(pieces[2].range.start, guest::Gpa{0x20000000});
}

TEST(QmpMessages, AreLinesOrObjectsOverSeveral) {
  const std::string one = R"({"event": "STOP", "data": {}})";
  const std::string pretty = "{\n  \"return\": {\n    \"text\": \"} \\\" {\\\\\"\n  }\n}";
  const std::string all = one + "\r\n" + pretty + "\r\n" + "SSH-2.0 is none\n" + one + "\n";
  for (const size_t piece : {size_t{1}, size_t{7}, all.size()}) {
    QmpMessages messages;
    std::vector<std::string> taken;
    for (size_t at = 0; at < all.size(); at += piece) {
      messages.append(std::string_view(all).substr(at, piece));
      while (auto message = messages.take()) taken.push_back(*message);
    }
    EXPECT_EQ(taken, (std::vector<std::string>{one, pretty, "SSH-2.0 is none", one}));
    EXPECT_FALSE(messages.any());
    EXPECT_LT(messages.size(), 2U);
  }
}

TEST(FlatView, TextOfAnotherKindGivesNothing) {
  EXPECT_TRUE(parse_flat_view("", {}).empty());
  EXPECT_TRUE(parse_flat_view("Root memory region: system\n garbage - (prio 0, ram): x\n", {}).empty());
}

TEST(QemuCommandLine, NamesAndSocketsAsWrittenByHand) {
  const auto process = parse_qemu_command_line(
      7, {"/usr/bin/qemu-system-x86_64", "-name", "guest=web,debug-threads=on", "-qmp",
          "unix:/run/a,server=on,wait=off", "-chardev", "socket,id=mon1,path=/run/b,server=on", "-mon",
          "chardev=mon1,mode=control", "-chardev", "socket,id=human,path=/run/c", "-mon",
          "chardev=human,mode=readline", "-qmp", "tcp:localhost:4444"});
  ASSERT_TRUE(process);
  EXPECT_EQ(process->name, "web");
  ASSERT_EQ(process->qmp_sockets.size(), 2U);
  EXPECT_EQ(process->qmp_sockets[0], "/run/a");
  EXPECT_EQ(process->qmp_sockets[1], "/run/b");
  EXPECT_FALSE(process->libvirt_only);
}

TEST(QemuCommandLine, CommasInNamesAreDoubled) {
  EXPECT_EQ(parse_qemu_command_line(7, {"qemu-system-x86_64", "-name", "a,,b,process=x"})->name, "a,b");
}

TEST(QemuCommandLine, LibvirtsOwnSocketIsNotOurs) {
  const auto process =
      parse_qemu_command_line(7, {"/usr/bin/qemu-system-x86_64", "-name", "guest=web,debug-threads=on",
                                  "-chardev", "socket,id=charmonitor,fd=33,server=on,wait=off", "-mon",
                                  "chardev=charmonitor,id=monitor,mode=control"});
  ASSERT_TRUE(process);
  EXPECT_TRUE(process->qmp_sockets.empty());
  EXPECT_TRUE(process->libvirt_only);
}

TEST(QemuCommandLine, OtherProgramsAreNone) {
  EXPECT_FALSE(parse_qemu_command_line(7, {"/usr/bin/qemu-img", "info"}));
  EXPECT_FALSE(parse_qemu_command_line(7, {}));
}

TEST(FindQemu, NamesTheVmsThatThereAre) {
  const auto missing = find_qemu_process("no-such-vm");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code(), Errc::NotFound);
  EXPECT_NE(missing.error().message().find("no running QEMU with -name no-such-vm"), std::string::npos);
}

TEST(RegisterText, IsReadWithItsColumns) {
  const Registers registers = parse_registers(
      "\r\nCPU#0\r\nRAX=0000000000000001 RBX=ffffffff82a1b2c0 RCX=0 RDX=0\r\n"
      "R8 =0000000000000008 R9 =0000000000000009 R10=000000000000000a R11=0000000000000246\r\n"
      "RIP=ffffffff81c5a1fb RFL=00000246 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=1\r\n"
      "ES =0000 0000000000000000 ffffffff 00c00000\r\n"
      "GS =0000 ff110001fec00000 ffffffff 00c00000\r\n"
      "GDT=     fffffe0000001000 0000007f\r\nIDT=     fffffe0000000000 00000fff\r\n"
      "CR0=80050033 CR2=00007f1122334455 CR3=0000000102b7a006 CR4=00371ef0\r\n"
      "EFER=0000000000000d01\r\nFCW=037f FSW=0000 [ST=0] FTW=00 MXCSR=00001f80\r\n");
  EXPECT_EQ(registers.get(Reg::Rax), 1U);
  EXPECT_EQ(registers.get(Reg::R8), 8U);
  EXPECT_EQ(registers.get(Reg::R11), 0x246U);
  EXPECT_EQ(registers.get(Reg::Rip), 0xffffffff81c5a1fbU);
  EXPECT_EQ(registers.get(Reg::Rflags), 0x246U);
  EXPECT_EQ(registers.get(Reg::GsBase), 0xff110001fec00000U);
  EXPECT_EQ(registers.get(Reg::GdtrBase), 0xfffffe0000001000U);
  EXPECT_EQ(registers.get(Reg::Cr3), 0x102b7a006U);
  EXPECT_EQ(registers.get(Reg::Efer), 0xd01U);
  EXPECT_FALSE(registers.get(Reg::R12));
  EXPECT_EQ(registers.paging().cr4, 0x371ef0U);
}

TEST(RegisterText, OfA32BitProgramHasItsRegistersToo) {
  const Registers registers = parse_registers(
      "EAX=00000001 EBX=00000002 ECX=00000003 EDX=00000004\nESI=00000005 EDI=00000006 EBP=00000007 "
      "ESP=00000008\n"
      "EIP=08048000 EFL=00000246 [---Z-P-] CPL=3 II=0 A20=1 SMM=0 HLT=0\n"
      "LDT=0000 0000000000001000 ffffffff 00c00000\nTR =0040 fffffe0000003000 00004087 00008b00\n"
      "CR0=80050033 CR2=0 CR3=0000000102b7a006 CR4=00371ef0\nEFER=0000000000000d01\n");
  EXPECT_TRUE(complete(registers, "all"));
  EXPECT_EQ(registers.rip(), 0x08048000U);
  EXPECT_EQ(registers.get(Reg::Rflags), 0x246U);
  EXPECT_EQ(registers.get(Reg::LdtrBase), 0x1000U);
  EXPECT_EQ(registers.get(Reg::TrBase), 0xfffffe0000003000U);
  EXPECT_FALSE(registers.get(Reg::R8));
}

TEST(Registers, ThatADriverMustGiveAreNamedWhenTheyAreMissing) {
  Registers registers;
  for (const Reg reg : {Reg::Rax, Reg::Rsp, Reg::Cr0, Reg::Cr4}) registers.set(reg, 1);
  const auto why = complete(registers, "vCPU 2");
  ASSERT_FALSE(why);
  EXPECT_EQ(why.error().message(), "vCPU 2: no register rip, cr3");
  registers.set(Reg::Rip, 2);
  registers.set(Reg::Cr3, 3);
  ASSERT_TRUE(complete(registers, "vCPU 2"));
  EXPECT_EQ(complete(registers, "vCPU 2")->cr3(), 3U);
  EXPECT_EQ(registers.need(Reg::Rcx).error().message(), "the driver gives no register rcx");
}

TEST(Registers, HaveNames) {
  EXPECT_EQ(name_of(Reg::KernelGsBase), "kernel_gs_base");
  EXPECT_EQ(register_named("fs_base"), Reg::FsBase);
  EXPECT_FALSE(register_named("RAX"));
  EXPECT_FALSE(register_named(""));
}

}  // namespace
}  // namespace furnace::hypervisor
