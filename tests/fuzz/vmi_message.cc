#include "fuzz.h"
#include "hypervisor/simulator/simulator.h"
#include "vmi/batch.h"

using namespace furnace;

// A body as a tenant may send it, executed on the simulator.
void fuzz(std::span<const std::byte> input) {
  static vmi::Machine machine(*hypervisor::Simulator::make("fuzz", hypervisor::default_tasks()), nullptr);
  static const vmi::Codecs codecs;
  static vmi::PauseCount pauses;
  vmi::Session session;
  vmi::CallContext context{machine, session, pauses};
  wire::VmiMessage message;
  if (message.ParseFromArray(input.data(), static_cast<int>(input.size())))
    (void)vmi::execute_batch(context, codecs, message).SerializeAsString();
  vmi::release_pauses(context);
}
