#include "fuzz.h"
#include "hypervisor/simulator/simulator.h"
#include "vmi/calls/batch.h"

using namespace furnace;

// A body as a tenant may send it, executed on the simulator.
FUZZ(vmi_message) {
  static vmi::Machine machine(*hypervisor::Simulator::make(hypervisor::default_guest()), nullptr);
  static const vmi::Codecs codecs;
  static vmi::Pauses pauses(machine.hypervisor());
  vmi::Session session;
  static vmi::Events events(machine, pauses);
  vmi::CallContext context{machine, session, pauses, events};
  vmi::BatchRun run(codecs, input, std::make_shared<vmi::BufferPool>());
  while (!run.step(context, std::chrono::steady_clock::now())) {
  }
  wire::VmiMessage answer;
  const auto bytes = run.answer().bytes();
  if (!answer.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) std::abort();
  vmi::release(context);
}
