// Snapshot files: what is written is read again, and damage is refused or reads as missing memory.
#include "hypervisor/snapshot/snapshot.h"

#include <cstring>
#include <fstream>
#include <random>

#include "base/file.h"
#include "hypervisor/simulator/simulator.h"
#include "hypervisor/snapshot/elf_core.h"
#include "hypervisor/snapshot/snapshot_file.h"
#include "hypervisor/snapshot/writer.h"
#include "support.h"

namespace furnace::hypervisor {
namespace {

using furnace::test::message_of;
using furnace::test::take;
using guest::Gpa;

class Snapshots : public ::testing::Test {
 protected:
  std::filesystem::path write(const std::string& name, const SnapshotOptions& options) {
    const auto file = directory_.path() / name;
    auto output = take(SnapshotFile::create(file));
    const auto size = take(write_snapshot(*simulator_, output.descriptor(), file, options,
                                          [](uint64_t, uint64_t) { return Status(); }));
    const Status finished = output.finish(size);
    EXPECT_TRUE(finished) << message_of(finished);
    return file;
  }
  void expect_same_memory(guest::GuestMemory& other) {
    guest::GuestMemory& mine = simulator_->memory();
    ASSERT_EQ(other.ranges().front().start.value, 0U);
    for (uint64_t at = 0; at < simulator_->memory_size(); at += 1 << 20)
      ASSERT_EQ(other.read_block(Gpa{at}, 1 << 20), mine.read_block(Gpa{at}, 1 << 20)) << at;
    EXPECT_EQ(other.read_block(Gpa{simulator_->memory_size()}, 8).size(), 0U);
  }

  furnace::test::TemporaryDirectory directory_;
  std::unique_ptr<Simulator> simulator_ = take(Simulator::make(default_guest()));
};

TEST_F(Snapshots, HoldTheMemoryOfTheVmInEveryForm) {
  for (const auto& [name, options] : std::initializer_list<std::pair<const char*, SnapshotOptions>>{
           {"elf", {SnapshotFormat::ElfCore, false}},
           {"elf.zst", {SnapshotFormat::ElfCore, true}},
           {"raw", {SnapshotFormat::Raw, false}},
           {"raw.zst", {SnapshotFormat::Raw, true}}}) {
    SCOPED_TRACE(name);
    const auto snapshot = take(Snapshot::open(write(name, options)));
    expect_same_memory(snapshot->memory());
    EXPECT_EQ(simulator_->state(), RunState::Running);
  }
}

TEST_F(Snapshots, KeepRegistersOfEveryVcpuInElfCores) {
  SimulatedGuest two = default_guest();
  two.vcpus = 2;
  simulator_ = take(Simulator::make(two));
  const auto snapshot = take(Snapshot::open(write("elf", {})));
  for (uint32_t vcpu = 0; vcpu < 2; ++vcpu) {
    const auto registers = take(snapshot->registers(vcpu));
    ASSERT_TRUE(registers);
    const auto expected = take(simulator_->registers(vcpu));
    for (const Reg reg : {Reg::Rip, Reg::Rsp, Reg::Cr0, Reg::Cr3, Reg::Cr4})
      EXPECT_EQ(registers->get(reg), expected->get(reg)) << name_of(reg);
    EXPECT_EQ(registers->paging().efer & 0x400, 0x400U) << "long mode follows from CR4.PAE";
  }
  EXPECT_FALSE(snapshot->registers(2));
}

TEST_F(Snapshots, AnInterruptedOneLeavesNoFileAndTheVmRunning) {
  const auto file = directory_.path() / "cut";
  {
    const auto output = take(SnapshotFile::create(file));
    const auto written =
        write_snapshot(*simulator_, output.descriptor(), file, {},
                       [](uint64_t, uint64_t) -> Status { return fail(Errc::Failed, "stop"); });
    EXPECT_EQ(message_of(written), "stop");
  }
  EXPECT_TRUE(std::filesystem::is_empty(directory_.path()));
  EXPECT_EQ(simulator_->state(), RunState::Running);
}

TEST_F(Snapshots, DamagedFramesReadAsMissingMemory) {
  const auto file = write("raw.zst", {SnapshotFormat::Raw, true});
  {
    std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekp(20);
    stream.write("damage", 6);
  }
  const auto snapshot = Snapshot::open(file);
  if (!snapshot) return;  // the first frame tells the form
  EXPECT_LT((*snapshot)->memory().read_block(Gpa{0}, 4096).size(), 4096U);
  EXPECT_EQ((*snapshot)->memory().read_block(Gpa{2 << 20}, 4096).size(), 4096U);
}

TEST_F(Snapshots, OverlappingPiecesAreCut) {
  const auto piece = [](uint64_t start, uint64_t end, uint64_t offset) {
    return SnapshotPiece{{Gpa{start}, Gpa{end}}, offset, end - start};
  };
  const auto kept =
      without_overlap({piece(10, 20, 100), piece(0, 12, 0), piece(5, 8, 50), piece(30, 40, 200)});
  ASSERT_EQ(kept.size(), 3U);
  EXPECT_EQ(kept[1].range.start.value, 12U);
  EXPECT_EQ(kept[1].offset, 102U);
  EXPECT_EQ(kept[1].stored, 8U);
}

TEST_F(Snapshots, PiecesThatShareBytesOfTheFileAreRefused) {
  const std::vector<guest::GpaRange> ranges{{Gpa{0}, Gpa{4096}}, {Gpa{1 << 20}, Gpa{(1 << 20) + 4096}}};
  auto file = elf_core_head(ranges, {});
  file.resize(file.size() + 2 * 4096);
  const auto path = directory_.path() / "shared.elf";
  const auto text = [&] { return std::string_view(reinterpret_cast<const char*>(file.data()), file.size()); };
  ASSERT_TRUE(write_file(path, text()));
  EXPECT_TRUE(Snapshot::open(path));
  // Every segment is the whole file.
  for (const size_t segment : {1, 2}) {
    const uint64_t offset = 0;
    const uint64_t size = file.size();
    std::byte* header = file.data() + 64 + segment * 56;
    std::memcpy(header + 8, &offset, 8);
    std::memcpy(header + 32, &size, 8);
    std::memcpy(header + 40, &size, 8);
  }
  ASSERT_TRUE(write_file(path, text()));
  EXPECT_NE(message_of(Snapshot::open(path)).find("its parts hold"), std::string::npos);
}

TEST_F(Snapshots, ThousandsOfPiecesAreLookedThroughAtOnce) {
  std::vector<guest::GpaRange> ranges;
  for (uint64_t i = 0; i < 60'000; ++i) ranges.push_back({Gpa{i * 8192}, Gpa{i * 8192 + 1}});
  auto file = elf_core_head(ranges, {});
  file.resize(file.size() + ranges.size());
  const auto path = directory_.path() / "many.elf";
  ASSERT_TRUE(write_file(path, std::string_view(reinterpret_cast<const char*>(file.data()), file.size())));
  const auto snapshot = take(Snapshot::open(path));
  EXPECT_EQ(snapshot->memory().ranges().size(), 60'000U);
  EXPECT_EQ(snapshot->memory().used_ranges().size(), 60'000U);
}

TEST_F(Snapshots, SurviveEveryTruncationOfTheirHead) {
  const auto head = elf_core_head({{Gpa{0}, Gpa{4096}}}, {Registers()});
  for (size_t size = 1; size < head.size(); size += 7) {
    const auto file = directory_.path() / "cut.elf";
    (void)write_file(file, std::string_view(reinterpret_cast<const char*>(head.data()), size));
    EXPECT_FALSE(size < 4 ? tl::unexpected<Error>(Error(Errc::Invalid, "")) : Snapshot::open(file)) << size;
  }
}

}  // namespace
}  // namespace furnace::hypervisor
