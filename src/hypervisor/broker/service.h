// The broker's end: a process that answers one partition until that has ended, and visitors meanwhile:
// commands of the same user, which read the guest beside the partition.
#pragma once

#include "hypervisor/broker/messages.h"

namespace furnace::hypervisor::broker {

class Service {
 public:
  virtual ~Service() = default;

  /// Does what is asked and adds to `items`. Everything in `request` and `asked` is a guest's, which may have
  /// taken the partition over.
  [[nodiscard]] virtual Answer answer(const Request& request, std::span<const std::byte> asked,
                                      std::vector<std::byte>& items) = 0;
  /// The same for a visitor; `number` names it among others.
  [[nodiscard]] virtual Answer answer_visitor(int number, const Request& request,
                                              std::vector<std::byte>& items);
  /// That visitor has left.
  virtual void visitor_left(int /*number*/) {}
  /// What to watch for reading beside the partition's requests; empty while the partition has been notified
  /// and has not asked yet.
  [[nodiscard]] virtual std::vector<int> descriptors() = 0;
  /// Whether there is something to tell that none of them shows.
  [[nodiscard]] virtual bool has_news() const { return false; }
  /// One of them is readable, or there are news: the partition is notified.
  virtual void tell() = 0;
};

/// Answers until the partition closes its end, or sends something of another form. Visitors come at
/// `listener`, if there is one.
void serve(Service& service, const Fd& socket, const Fd& listener = Fd());

}  // namespace furnace::hypervisor::broker
