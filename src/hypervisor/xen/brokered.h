// The Xen driver of a confined VMI partition: it maps the domain's memory, and asks the broker for all else.
#pragma once

#include "hypervisor/broker/link.h"
#include "hypervisor/hypervisor.h"
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
  [[nodiscard]] Status pause() override { return link_.pause(); }
  [[nodiscard]] Status resume() override { return link_.resume(); }
  [[nodiscard]] RunState state() const override { return link_.state(); }
  [[nodiscard]] std::vector<int> descriptors() const override { return {bell_.get(), link_.descriptor()}; }
  std::vector<Notice> poll() override;
  [[nodiscard]] EventSource* events() override { return this; }

 private:
  BrokeredXen(std::string name, uint32_t id, uint32_t vcpus, Fd socket, Fd bell, DomainMemory memory)
      : name_(name),
        id_(id),
        vcpus_(vcpus),
        link_(std::move(socket), std::move(name), "Xen's control"),
        bell_(std::move(bell)),
        memory_(std::move(memory)) {}

  // EventSource
  [[nodiscard]] bool offers(EventKind kind) const override { return xen_offers(kind); }
  [[nodiscard]] Result<uint64_t> watch(const Watch& watch) override;
  [[nodiscard]] Status unwatch(uint64_t watch) override;
  void forget() override;
  [[nodiscard]] std::vector<GuestEvent> take() override;
  void proceed() override;

  void cover(const broker::Link::Reply& reply);

  std::string name_;
  uint32_t id_, vcpus_;
  broker::Link link_;
  Fd bell_;
  DomainMemory memory_;
};

}  // namespace furnace::hypervisor
