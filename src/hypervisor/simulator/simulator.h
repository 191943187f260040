// A small deterministic guest made in memory: the mock driver. Page tables, tasks, symbols and types are real
// bytes, read by the same code as a live guest's.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "hypervisor/hypervisor.h"

namespace furnace::hypervisor {

/// A process of the simulated guest.
struct SimulatedTask {
  int32_t pid = 0;
  int32_t ppid = 0;
  uint32_t uid = 0;
  std::string name;
  bool kernel_thread = false;
  std::string command_line;  ///< arguments separated by NUL; lies in the process's own address space
};

/// The tasks of a guest nobody described.
[[nodiscard]] std::vector<SimulatedTask> default_tasks();

/// RAM in a vector, from address 0 on.
class SimulatedMemory : public guest::GuestMemory {
 public:
  explicit SimulatedMemory(size_t bytes);
  using GuestMemory::read;
  [[nodiscard]] size_t read(guest::Gpa from, std::span<std::byte> out) const override;
  [[nodiscard]] size_t write(guest::Gpa to, std::span<const std::byte> data) override;
  [[nodiscard]] const std::vector<guest::GpaRange>& ranges() const override { return ranges_; }

  template <typename T>
  void put(guest::Gpa to, const T& value) {
    (void)write(to, std::as_bytes(std::span(&value, 1)));
  }

 private:
  std::vector<std::byte> bytes_;
  std::vector<guest::GpaRange> ranges_;
};

class Simulator : public Hypervisor {
 public:
  [[nodiscard]] static Result<std::unique_ptr<Simulator>> make(std::string name,
                                                               const std::vector<SimulatedTask>& tasks);

  [[nodiscard]] std::string name() const override { return name_; }
  [[nodiscard]] uint32_t id() const override { return 1; }
  [[nodiscard]] AccessMode access_mode() const override { return AccessMode::File; }
  [[nodiscard]] guest::GuestMemory& memory() override { return memory_; }
  [[nodiscard]] uint64_t memory_size() const override;
  [[nodiscard]] Result<std::optional<Registers>> registers(uint32_t vcpu) override;
  [[nodiscard]] Status pause() override;
  [[nodiscard]] Status resume() override;
  [[nodiscard]] RunState state() const override { return state_; }
  [[nodiscard]] std::optional<guest::Kernel> kernel() override { return kernel_; }

 private:
  explicit Simulator(std::string name);
  Status build(const std::vector<SimulatedTask>& tasks);

  std::string name_;
  SimulatedMemory memory_;
  std::optional<guest::Kernel> kernel_;
  RunState state_ = RunState::Running;
};

}  // namespace furnace::hypervisor
