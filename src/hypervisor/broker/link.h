// The partition's end of its connection with a broker, and the requests that every broker answers.
#pragma once

#include <string>

#include "hypervisor/broker/messages.h"

namespace furnace::hypervisor::broker {

class Link {
 public:
  /// `holds`: what the broker holds, for messages: "Xen's control".
  Link(Fd socket, std::string vm, std::string holds)
      : socket_(std::move(socket)), vm_(std::move(vm)), holds_(std::move(holds)) {}

  struct Reply {
    Answer answer;
    std::vector<std::byte> items;
  };
  /// The error is the broker's, or (Errc::Unavailable) that there is none any more.
  [[nodiscard]] Result<Reply> ask(Request request, std::span<const std::byte> items = {}) const;
  /// Asks for something that has no answer.
  [[nodiscard]] Status tell(Request request) const;

  [[nodiscard]] Result<Registers> registers(uint32_t vcpu, Ask which = Ask::Registers) const;
  [[nodiscard]] Status pause() const { return done({.ask = Ask::Pause}); }
  [[nodiscard]] Status resume() const { return done({.ask = Ask::Resume}); }
  [[nodiscard]] RunState state() const;
  [[nodiscard]] Status done(Request request) const;

  /// Becomes readable when the broker has ended: all else that comes there was asked for.
  [[nodiscard]] int descriptor() const { return socket_.get(); }

 private:
  [[nodiscard]] Error gone() const;

  Fd socket_;
  std::string vm_, holds_;
  mutable Room room_;
};

/// The notices in an answer to Ask::Poll.
[[nodiscard]] std::vector<Notice> notices_of(const Link::Reply& reply);

}  // namespace furnace::hypervisor::broker
