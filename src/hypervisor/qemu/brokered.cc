#include "hypervisor/qemu/brokered.h"

#include <poll.h>
#include <sys/socket.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "hypervisor/qemu/qemu.h"

namespace furnace::hypervisor {

using broker::Ask;
using broker::Link;
using broker::News;
using nlohmann::json;

Result<std::unique_ptr<Hypervisor>> borrow_qemu(const std::string& text) try {
  const json all = json::parse(text);
  const auto descriptor = [&](const char* key) { return Fd(all.at(key).get<int>()); };
  const auto link = std::make_shared<const Link>(descriptor("requests"), all.at("name").get<std::string>(),
                                                 "QEMU's connections");
  GuestRam::Parts parts;
  for (const json& file : all.at("files")) parts.files.emplace_back(file.get<int>());
  bool copied = false;
  for (const json& piece : all.at("pieces")) {
    const int64_t file = piece.at(2);
    copied = copied || file < 0;
    parts.pieces.push_back({{guest::Gpa{piece.at(0)}, guest::Gpa{piece.at(1)}},
                            file < 0 ? GuestRam::Parts::kNoFile : static_cast<size_t>(file),
                            piece.at(3)});
  }
  parts.access = all.at("may_write").get<bool>() ? RamAccess::ReadWrite : RamAccess::Read;
  const Fd memory = descriptor("memory");
  if (copied) {
    FURNACE_TRY(Mapping shared, Mapping::whole_file(memory, true));
    parts.copied = std::make_unique<BrokeredRam>(link, std::move(shared));
  }
  const QemuSetup setup{all.at("vcpus"), all.at("running"), all.at("tcg"), all.at("loses_flags")};
  auto control = std::make_unique<BrokeredControl>(link, descriptor("news"), setup, parts.copied.get());
  FURNACE_TRY(GuestRam ram, GuestRam::from(std::move(parts)));
  return std::make_unique<Qemu>(all.at("name"), all.at("pid"), std::move(control), std::move(ram), setup);
} catch (const json::exception& error) {
  return fail(Errc::Invalid, "--handles: {}", error.what());
}

size_t BrokeredRam::read_small(guest::Gpa from, std::span<std::byte> out) const {
  const broker::SentPlace place{from.value, out.size()};
  const auto now = ReadAhead::Clock::now();
  auto cell = ahead_.take(place, now);
  if (!cell) {
    auto plan = ahead_.plan(place);
    const auto reply = link_->ask({.ask = Ask::Read}, std::as_bytes(std::span(plan)));
    auto cells = reply ? broker::items_of<broker::SentCell>(reply->items) : std::vector<broker::SentCell>();
    if (cells.empty()) return 0;
    cell = cells.front();
    ahead_.put(std::move(plan), std::move(cells), now);
  }
  const size_t size = std::min<size_t>(out.size(), cell->length);
  std::memcpy(out.data(), cell->bytes.data(), size);
  return size;
}

size_t BrokeredRam::read(guest::Gpa from, std::span<std::byte> out) const {
  if (out.size() <= broker::SentCell::kMost) return read_small(from, out);
  size_t done = 0;
  while (done < out.size()) {
    const size_t piece = std::min(out.size() - done, shared_.bytes().size());
    const auto reply = link_->ask({.ask = Ask::Read, .address = (from + done).value, .length = piece});
    const size_t got = reply ? std::min<uint64_t>(reply->answer.number, piece) : 0;
    std::memcpy(out.data() + done, shared_.bytes().data(), got);
    done += got;
    if (got != piece) break;
  }
  return done;
}

size_t BrokeredRam::write(guest::Gpa to, std::span<const std::byte> data) {
  ahead_.forget();
  size_t done = 0;
  while (done < data.size()) {
    const size_t piece = std::min(data.size() - done, shared_.bytes().size());
    std::memcpy(shared_.writable_bytes().data(), data.data() + done, piece);
    const auto reply = link_->ask({.ask = Ask::Write, .address = (to + done).value, .length = piece});
    const size_t put = reply ? std::min<uint64_t>(reply->answer.number, piece) : 0;
    done += put;
    if (put != piece) break;
  }
  return done;
}

void BrokeredControl::guest_moved() {
  registers_.clear();
  if (ram_ != nullptr) ram_->forget_read();
}

void BrokeredControl::note(const broker::Answer& answer) {
  state_ = answer.state;
  held_elsewhere_ = answer.held_elsewhere != 0;
}

Result<Link::Reply> BrokeredControl::ask(broker::Request request) {
  if (ram_ != nullptr) ram_->forget_read();
  FURNACE_TRY(Link::Reply reply, link_->ask(request));
  note(reply.answer);
  return reply;
}

Status BrokeredControl::change(broker::Request request) {
  FURNACE_TRY([[maybe_unused]] const Link::Reply reply, ask(request));
  return {};
}

std::vector<int> BrokeredControl::descriptors() const {
  if (over_) return {};
  return {news_.get(), link_->descriptor()};
}

std::vector<Notice> BrokeredControl::poll() {
  read_news();
  pollfd ended{link_->descriptor(), POLLIN, 0};
  over_ = ::poll(&ended, 1, 0) > 0;
  if (over_) return {Notice::Unguarded};
  if (!std::exchange(look_, false)) return {};
  const auto reply = link_->ask({.ask = Ask::Poll});
  over_ = !reply || reply->answer.state == RunState::Gone;
  if (!reply) return {Notice::Unguarded};
  note(reply->answer);
  running_ = running_ || reply->answer.running != 0;  // another program has resumed it
  return broker::notices_of(*reply);
}

void BrokeredControl::read_news() {
  broker::Answer told;
  while (const auto items = news_room_.receive(news_, broker::bytes_of(told), MSG_DONTWAIT)) {
    held_elsewhere_ = told.held_elsewhere != 0;
    if (told.number == static_cast<uint64_t>(News::Look)) {
      look_ = true;
    } else if (told.number == static_cast<uint64_t>(News::Stop)) {
      guest_moved();
      if (auto stop = stop_of({told, {items->begin(), items->end()}})) stop_ = *stop;
    } else {
      failure_ = Error(told.code, told.why.data());
    }
  }
}

Result<Stop> BrokeredControl::stop_of(const Link::Reply& reply) {
  broker::SentStop sent;
  if (reply.items.size() < sizeof sent) return fail(Errc::Invalid, "the broker reported no stop");
  std::memcpy(&sent, reply.items.data(), sizeof sent);
  for (const auto& each : broker::items_of<broker::SentVcpu>(std::span(reply.items).subspan(sizeof sent)))
    registers_[static_cast<uint32_t>(each.vcpu)] = each.registers;
  Stop stop{sent.vcpu, sent.by_debug != 0, std::nullopt};
  if (sent.has_watch != 0) stop.watch = StubPoint{static_cast<StubPoint::Kind>(sent.kind), sent.address, 0};
  return stop;
}

Status BrokeredControl::anew(Ask how) {
  const auto reply = ask({.ask = how});
  if (reply && how != Ask::CloseStub) vcpus_ = static_cast<uint32_t>(reply->answer.number);
  read_news();  // reported before
  stop_.reset();
  failure_.reset();
  registers_.clear();
  running_ = false;
  return reply ? Status() : tl::unexpected<Error>(reply.error());
}

void BrokeredControl::close_stub() {
  if (auto closed = anew(Ask::CloseStub); !closed) log::debug("{}", closed.error().message());
}

Result<std::optional<Stop>> BrokeredControl::take_stop() {
  read_news();
  if (stop_ || failure_) running_ = false;
  if (const auto failure = std::exchange(failure_, std::nullopt)) return tl::unexpected<Error>(*failure);
  return std::exchange(stop_, std::nullopt);
}

Result<Stop> BrokeredControl::interrupt() {
  // It may have stopped by itself meanwhile: the broker has reported that before it answers.
  FURNACE_TRY(auto before, take_stop());
  if (before) return *before;
  auto reply = ask({.ask = Ask::Interrupt});
  if (reply) {
    registers_.clear();
    running_ = false;
    return stop_of(*reply);
  }
  FURNACE_TRY(auto meanwhile, take_stop());
  if (meanwhile) return *meanwhile;
  return tl::unexpected<Error>(reply.error());
}

Status BrokeredControl::run() {
  guest_moved();
  FURNACE_CHECK(link_->tell({.ask = Ask::Run}));
  running_ = true;
  return {};
}

Result<Stop> BrokeredControl::step(uint32_t vcpu) {
  registers_.erase(vcpu);
  FURNACE_TRY(const Link::Reply reply, ask({.ask = Ask::Step, .number = vcpu}));
  return stop_of(reply);
}

Result<Stop> BrokeredControl::run_one(uint32_t vcpu, std::chrono::milliseconds time) {
  registers_.erase(vcpu);
  FURNACE_TRY(const Link::Reply reply,
              ask({.ask = Ask::RunOne, .length = static_cast<uint64_t>(time.count()), .number = vcpu}));
  return stop_of(reply);
}

Status BrokeredControl::insert(const StubPoint& point) {
  return link_->done({.ask = Ask::Insert,
                      .kind = static_cast<uint8_t>(point.kind),
                      .address = point.address,
                      .length = point.length});
}

Status BrokeredControl::remove(const StubPoint& point) {
  return link_->done({.ask = Ask::Remove,
                      .kind = static_cast<uint8_t>(point.kind),
                      .address = point.address,
                      .length = point.length});
}

Result<Registers> BrokeredControl::stub_registers(uint32_t vcpu) {
  const auto told = registers_.find(vcpu);
  if (told != registers_.end()) return told->second;
  FURNACE_TRY(Registers registers, link_->registers(vcpu, Ask::StubRegisters));
  registers_[vcpu] = registers;
  return registers;
}

Status BrokeredControl::set_instruction_pointer(uint32_t vcpu, uint64_t address) {
  registers_.erase(vcpu);
  return change({.ask = Ask::SetInstructionPointer, .address = address, .number = vcpu});
}

}  // namespace furnace::hypervisor
