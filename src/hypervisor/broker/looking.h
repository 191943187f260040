// A broker for a process that only reads the guest: it gets registers, memory, and pauses.
#pragma once

#include "hypervisor/broker/service.h"

namespace furnace::hypervisor::broker {

/// Who a broker is for.
enum class Borrower : uint8_t {
  Partition,  ///< a VMI partition
  Reader,     ///< a reader of a command (reader/reader.h): no events, no stub, no writes
};

/// Passes on what a reader may ask for, and refuses everything else.
class Looking : public Service {
 public:
  explicit Looking(Service& service) : service_(service) {}

  [[nodiscard]] Answer answer(const Request& request, std::span<const std::byte> asked,
                              std::vector<std::byte>& items) override;
  [[nodiscard]] std::vector<int> descriptors() override { return service_.descriptors(); }
  [[nodiscard]] bool has_news() const override { return service_.has_news(); }
  void tell() override { service_.tell(); }

 private:
  Service& service_;
};

}  // namespace furnace::hypervisor::broker
