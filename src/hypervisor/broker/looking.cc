#include "hypervisor/broker/looking.h"

namespace furnace::hypervisor::broker {

Answer Looking::answer(const Request& request, std::span<const std::byte> asked,
                       std::vector<std::byte>& items) {
  switch (request.ask) {
    case Ask::Registers:
    case Ask::Pause:
    case Ask::Resume:
    case Ask::State:
    case Ask::Poll:
    case Ask::Read:
      return service_.answer(request, asked, items);
    default:
      return failed({Errc::Denied, "a reader only reads the guest"});
  }
}

}  // namespace furnace::hypervisor::broker
