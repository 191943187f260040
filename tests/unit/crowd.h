// A simulated guest of so many tasks that their list takes several steps.
#pragma once

#include "hypervisor/simulator/simulator.h"

namespace furnace::test {

inline hypervisor::SimulatedGuest crowd(int tasks) {
  hypervisor::SimulatedGuest guest = hypervisor::default_guest();
  for (int32_t pid = 10'000; static_cast<int>(guest.tasks.size()) < tasks; ++pid) {
    hypervisor::SimulatedTask task;
    task.pid = pid;
    task.ppid = 1;
    task.name = "worker";
    task.kernel_thread = true;  // takes the least memory
    guest.tasks.push_back(task);
  }
  return guest;
}

}  // namespace furnace::test
