// The Xen driver of a confined VMI partition: it maps the domain's memory, and asks the broker for all else.
#pragma once

#include "hypervisor/hypervisor.h"
#include "hypervisor/xen/broker_protocol.h"
#include "hypervisor/xen/domain_memory.h"
#include "hypervisor/xen/event_kinds.h"

namespace furnace::hypervisor {

class BrokeredXen : public Hypervisor, private EventSource {
 public:
  /// `text` of `lend_xen`, whose descriptors are open here.
  [[nodiscard]] static Result<std::unique_ptr<Hypervisor>> borrow(const std::string& text);

  [[nodiscard]] std::string name() const override { return name_; }
  [[nodiscard]] uint32_t id() const override { return id_; }
  [[nodiscard]] AccessMode access_mode() const override { return AccessMode::Xen; }
  [[nodiscard]] guest::GuestMemory& memory() override { return memory_; }
  [[nodiscard]] uint64_t memory_size() const override;
  [[nodiscard]] uint32_t vcpus() const override { return vcpus_; }
  [[nodiscard]] Result<std::optional<Registers>> registers(uint32_t vcpu) override;
  [[nodiscard]] Status pause() override;
  [[nodiscard]] Status resume() override;
  [[nodiscard]] RunState state() const override;
  /// The broker's own becomes readable when it has ended: all else that comes there was asked for.
  [[nodiscard]] std::vector<int> descriptors() const override { return {bell_.get(), socket_.get()}; }
  std::vector<Notice> poll() override;
  [[nodiscard]] EventSource* events() override { return this; }

 private:
  BrokeredXen(std::string name, uint32_t id, uint32_t vcpus, Fd socket, Fd bell, DomainMemory memory)
      : name_(std::move(name)),
        id_(id),
        vcpus_(vcpus),
        socket_(std::move(socket)),
        bell_(std::move(bell)),
        memory_(std::move(memory)) {}

  // EventSource
  [[nodiscard]] bool offers(EventKind kind) const override { return xen_offers(kind); }
  [[nodiscard]] Result<uint64_t> watch(const Watch& watch) override;
  [[nodiscard]] Status unwatch(uint64_t watch) override;
  void forget() override;
  [[nodiscard]] std::vector<GuestEvent> take() override;
  void proceed() override;

  struct Reply {
    broker::Answer answer;
    std::vector<std::byte> items;
  };
  /// The error is the broker's, or that there is none any more.
  [[nodiscard]] Result<Reply> ask(broker::Request request) const;
  void cover(const Reply& reply);

  std::string name_;
  uint32_t id_, vcpus_;
  Fd socket_, bell_;
  DomainMemory memory_;
};

}  // namespace furnace::hypervisor
