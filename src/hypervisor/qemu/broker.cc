#include "hypervisor/qemu/broker.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "base/directories.h"
#include "base/helper_process.h"
#include "base/log.h"
#include "hypervisor/broker/service.h"
#include "hypervisor/qemu/handles.h"
#include "hypervisor/qemu/host.h"
#include "hypervisor/qemu/visit.h"

namespace furnace::hypervisor {
namespace {

using broker::Answer;
using broker::Ask;
using broker::News;
using broker::SentStop;
using nlohmann::json;

class QemuService : public broker::Service {
 public:
  QemuService(QemuHandles& handles, GuestRam::Parts& ram, Fd news, Mapping shared)
      : host_(handles),
        ram_(std::move(ram.copied)),
        places_(std::move(handles.places)),
        setup_(handles.setup),
        may_write_(ram.access == RamAccess::ReadWrite),
        news_(std::move(news)),
        shared_(std::move(shared)) {}

  std::vector<int> descriptors() override {
    // While the guest is paused, its stub only answers questions; or it says nothing any more.
    const bool may_stop = host_.running() && !stub_failed_;
    const int stub = host_.stub_descriptor();
    if (told_) return may_stop ? std::vector{stub} : std::vector<int>();
    auto all = host_.descriptors();
    if (!may_stop) std::erase(all, stub);
    return all;
  }

  bool has_news() const override { return !told_ && host_.has_notice(); }

  void tell() override {
    if (!stub_failed_) look_for_stop();
    if (told_) return;
    const auto now = host_.poll();
    notices_.insert(notices_.end(), now.begin(), now.end());
    if (!notices_.empty()) told_ = send(News::Look, {}, {});
  }

  Answer answer(const broker::Request& request, std::span<const std::byte> asked,
                std::vector<std::byte>& items) override {
    Answer answer = do_what(request, asked, items);
    answer.state = host_.state();
    answer.running = static_cast<uint8_t>(host_.running());
    answer.held_elsewhere = static_cast<uint8_t>(host_.held_elsewhere());
    return answer;
  }

  Answer answer_visitor(int number, const broker::Request& request, std::vector<std::byte>& items) override {
    Answer answer;
    switch (request.ask) {
      case Ask::Describe:
        answer = describe(items);
        break;
      case Ask::Registers:
        answer = do_what(request, {}, items);
        break;
      case Ask::Pause:
        answer = hold(number);
        break;
      case Ask::Resume:
        answer = broker::said(holding_.erase(number) != 0 ? host_.release_for_visitor() : Status());
        break;
      case Ask::State:
      case Ask::Poll:
        break;
      default:
        answer = broker::failed(
            {Errc::Unavailable, "a partition has this VM: only that partition gets its events"});
    }
    answer.state = host_.state() == RunState::Gone ? RunState::Gone
                   : holding_.contains(number)     ? RunState::Paused
                                                   : host_.state();
    return answer;
  }

  void visitor_left(int number) override {
    if (holding_.erase(number) != 0) (void)host_.release_for_visitor();
  }

 private:
  Answer describe(std::vector<std::byte>& items) {
    Answer answer;
    broker::add(items, answer,
                broker::SentSetup{setup_.vcpus, static_cast<uint8_t>(setup_.tcg),
                                  static_cast<uint8_t>(setup_.loses_flags)});
    for (const RamPlace& place : places_)
      broker::add(items, answer, broker::SentRam{place.range.start.value, place.range.end.value, place.host});
    return answer;
  }

  Answer hold(int visitor) {
    if (!holding_.insert(visitor).second) return {};
    const auto event = host_.hold_for_visitor();
    if (!event) {
      holding_.erase(visitor);
      (void)host_.release_for_visitor();
      return broker::failed(event.error());
    }
    if (*event) tell_stop(**event);
    return {};
  }

  bool send(News what, Answer answer, const std::vector<std::byte>& items) {
    answer.number = static_cast<uint64_t>(what);
    answer.held_elsewhere = static_cast<uint8_t>(host_.held_elsewhere());
    return broker::send_message(news_, broker::bytes_of(answer), items);
  }

  void look_for_stop() {
    const auto stop = host_.take_stop();
    if (!stop) {
      stub_failed_ = true;
      (void)send(News::Failed, broker::failed(stop.error()), {});
    } else if (*stop) {
      tell_stop(**stop);
    }
  }

  void tell_stop(const Stop& stop) {
    std::vector<std::byte> items;
    Answer answer = with_registers(stop, items);
    (void)send(News::Stop, answer, items);
  }

  /// The registers of those vCPUs that its driver reads next.
  Answer with_registers(const Stop& stop, std::vector<std::byte>& items) {
    Answer answer = with_stop(stop, items);
    const bool all = host_.watches_memory();
    const uint32_t first = all ? 0 : stop.vcpu;
    const uint32_t end = all ? host_.vcpus() : stop.by_debug ? first + 1 : first;
    for (uint32_t vcpu = first; vcpu < end; ++vcpu) add_registers(vcpu, answer, items);
    return answer;
  }

  static Answer with_stop(const Stop& stop, std::vector<std::byte>& items) {
    SentStop sent{stop.vcpu, static_cast<uint8_t>(stop.by_debug)};
    if (stop.watch) {
      sent.has_watch = 1;
      sent.kind = static_cast<uint8_t>(stop.watch->kind);
      sent.address = stop.watch->address;
    }
    Answer answer;
    broker::add(items, answer, sent);
    return answer;
  }

  void add_registers(uint32_t vcpu, Answer& answer, std::vector<std::byte>& items) {
    if (const auto registers = host_.stub_registers(vcpu))
      broker::add(items, answer, broker::SentVcpu{vcpu, *registers});
  }

  Answer moved(uint32_t vcpu, const Result<Stop>& stop, std::vector<std::byte>& items) {
    if (!stop) return broker::failed(stop.error());
    Answer answer = with_stop(*stop, items);
    add_registers(vcpu, answer, items);
    return answer;
  }

  static StubPoint point_of(const broker::Request& request) {
    return {static_cast<StubPoint::Kind>(request.kind), request.address, request.length};
  }

  Answer do_what(const broker::Request& request, std::span<const std::byte> asked,
                 std::vector<std::byte>& items) {
    const auto vcpu = static_cast<uint32_t>(std::min<uint64_t>(request.number, UINT32_MAX));
    Answer answer;
    switch (request.ask) {
      case Ask::Registers:
      case Ask::StubRegisters: {
        const auto read = request.ask == Ask::Registers ? host_.registers(vcpu) : host_.stub_registers(vcpu);
        if (!read) return broker::failed(read.error());
        broker::add(items, answer, *read);
        return answer;
      }
      case Ask::Pause:
        return broker::said(host_.pause());
      case Ask::Resume:
        return broker::said(host_.resume());
      case Ask::State:
        return answer;
      case Ask::Poll:
        told_ = false;
        for (const Notice notice : std::exchange(notices_, {}))
          broker::add(items, answer, static_cast<uint8_t>(notice));
        return answer;
      case Ask::OpenStub:
      case Ask::ReopenStub:
        stub_failed_ = false;
        answer = broker::said(request.ask == Ask::OpenStub ? host_.open_stub() : host_.reopen_stub());
        answer.number = host_.vcpus();
        return answer;
      case Ask::CloseStub:
        host_.close_stub();
        return answer;
      case Ask::Interrupt: {
        const auto stop = host_.interrupt();
        return stop ? with_registers(*stop, items) : broker::failed(stop.error());
      }
      case Ask::Run:
        if (const auto run = host_.run(); !run) (void)send(News::Failed, broker::failed(run.error()), {});
        return answer;
      case Ask::Step:
        return moved(vcpu, host_.step(vcpu), items);
      case Ask::RunOne:
        return moved(vcpu,
                     host_.run_one(vcpu, std::chrono::milliseconds(std::min<uint64_t>(request.length, 1000))),
                     items);
      case Ask::Insert:
        return broker::said(host_.insert(point_of(request)));
      case Ask::Remove:
        return broker::said(host_.remove(point_of(request)));
      case Ask::SetInstructionPointer:
        return broker::said(host_.set_instruction_pointer(vcpu, request.address));
      case Ask::Read:
        return read(request, asked, items);
      case Ask::Write:
        return write(request);
      default:
        return broker::failed({Errc::Invalid, "a request that the QEMU driver does not know"});
    }
  }

  /// Small places come with the answer, a larger one through the shared memory.
  Answer read(const broker::Request& request, std::span<const std::byte> asked,
              std::vector<std::byte>& items) {
    Answer answer;
    if (!ram_) return broker::failed({Errc::Invalid, "this guest's RAM is mapped, not copied"});
    const auto places = broker::items_of<broker::SentPlace>(asked);
    if (places.empty()) {
      const auto out = shared_.writable_bytes();
      answer.number =
          ram_->read(guest::Gpa{request.address}, out.first(std::min<uint64_t>(request.length, out.size())));
      return answer;
    }
    if (places.size() > broker::kMostItems)
      return broker::failed({Errc::Invalid, "more places than an answer holds"});
    for (size_t i = 0; i < places.size();) i = read_page(places, i, answer, items);
    return answer;
  }

  /// Reads the places from `first` on that are in one page, at once: a copy out of another process costs as
  /// much for a page as for a number. Returns the first that is elsewhere.
  size_t read_page(std::span<const broker::SentPlace> places, size_t first, Answer& answer,
                   std::vector<std::byte>& items) {
    constexpr uint64_t in_page = guest::kPageSize - 1;
    const auto length_of = [](const broker::SentPlace& place) {
      return std::min<uint64_t>(place.length, broker::SentCell::kMost);
    };
    const uint64_t page = places[first].gpa & ~in_page;
    uint64_t start = places[first].gpa, end = start + length_of(places[first]);
    size_t next = first + 1;
    for (; next < places.size() && (places[next].gpa & ~in_page) == page; ++next) {
      start = std::min(start, places[next].gpa);
      end = std::max(end, places[next].gpa + length_of(places[next]));
    }
    std::array<std::byte, guest::kPageSize + broker::SentCell::kMost> bytes{};
    const size_t got = ram_->read(guest::Gpa{start}, std::span(bytes).first(end - start));
    for (const auto& place : places.subspan(first, next - first)) {
      broker::SentCell cell;
      const uint64_t offset = place.gpa - start;
      cell.length = std::min<uint64_t>(length_of(place), got - std::min<uint64_t>(got, offset));
      std::memcpy(cell.bytes.data(), bytes.data() + offset, cell.length);
      broker::add(items, answer, cell);
    }
    return next;
  }

  Answer write(const broker::Request& request) {
    Answer answer;
    if (!ram_ || !may_write_)
      return broker::failed({Errc::Denied, "this guest's RAM is not to be written by the broker"});
    const auto data = shared_.bytes();
    answer.number =
        ram_->write(guest::Gpa{request.address}, data.first(std::min<uint64_t>(request.length, data.size())));
    return answer;
  }

  QemuHost host_;
  std::unique_ptr<CopiedRam> ram_;
  std::vector<RamPlace> places_;
  QemuSetup setup_;
  bool may_write_;
  Fd news_;
  Mapping shared_;
  std::vector<Notice> notices_;
  bool told_ = false;         // the partition knows that there are notices
  std::set<int> holding_;     // visitors for whom the guest is paused
  bool stub_failed_ = false;  // and that the stub's connection is lost
};

json describe(const QemuProcess& process, const QemuSetup& setup, const GuestRam::Parts& ram) {
  json pieces = json::array();
  for (const auto& piece : ram.pieces)
    pieces.push_back({piece.range.start.value, piece.range.end.value,
                      piece.file == GuestRam::Parts::kNoFile ? -1 : static_cast<int64_t>(piece.file),
                      piece.offset});
  return {{"name", process.name}, {"pid", process.pid},
          {"pieces", pieces},     {"may_write", ram.access == RamAccess::ReadWrite},
          {"vcpus", setup.vcpus}, {"running", setup.running},
          {"tcg", setup.tcg},     {"loses_flags", setup.loses_flags}};
}

/// Without one, commands beside the partition need a QMP socket of their own.
Fd listen_for_visitors(pid_t qemu, std::filesystem::path& path) {
  const auto directory = make_run_directory(broker_socket(qemu).parent_path().filename().native());
  auto listener = directory ? listen_for_messages(broker_socket(qemu))
                            : Result<Fd>(tl::unexpected<Error>(directory.error()));
  if (!listener) {
    log::debug("{}", listener.error().message());
    return {};
  }
  path = broker_socket(qemu);
  return *std::move(listener);
}

}  // namespace

Result<Fd> memory_shared_with_broker() {
  Fd memory(::memfd_create("furnace-broker", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!memory.valid() || ::ftruncate(memory.get(), broker::kSharedBytes) != 0 ||
      ::fcntl(memory.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)  // NOLINT: variadic
    return fail_errno("memory shared with the broker");
  return memory;
}

Lent lent_qemu(const QemuProcess& process, const QemuSetup& setup, GuestRam::Parts& ram, BorrowersEnd end) {
  Lent lent;
  json text = describe(process, setup, ram);
  const auto lend = [&](Fd descriptor) {
    lent.descriptors.push_back(std::move(descriptor));
    return lent.descriptors.back().get();
  };
  text["requests"] = lend(std::move(end.requests));
  text["news"] = lend(std::move(end.news));
  text["memory"] = lend(std::move(end.memory));
  text["files"] = json::array();
  for (Fd& file : ram.files) text["files"].push_back(lend(std::move(file)));
  for (const auto& piece : ram.pieces)
    lent.memory_end = std::max(lent.memory_end.value_or(0), piece.range.end.value);
  lent.text = text.dump(-1, ' ', false, json::error_handler_t::replace);
  return lent;
}

Result<Lent> lend_qemu(const std::string& name, const LendOptions& options) {
  FURNACE_TRY(QemuHandles handles, QemuHandles::open(name, options.access));
  GuestRam::Parts ram = std::move(handles.ram).take_apart();
  FURNACE_TRY(auto requests, broker::connection());
  FURNACE_TRY(auto news, broker::connection());
  FURNACE_TRY(Fd memory, memory_shared_with_broker());
  std::filesystem::path visitors;
  // A reader's broker is there for a moment: who came to it would lose it.
  const Fd listener = options.borrower == broker::Borrower::Partition
                          ? listen_for_visitors(handles.process.pid, visitors)
                          : Fd();
  FURNACE_TRY(Mapping shared, Mapping::whole_file(memory, true));
  FURNACE_TRY(Pipe lifetime, make_pipe());
  const pid_t pid = ::fork();
  if (pid < 0) return fail_errno("fork");
  if (pid == 0) {
    const auto* const copied = dynamic_cast<const ProcessRam*>(ram.copied.get());
    become_helper("furnace-broker",
                  {requests.first.get(), news.first.get(), handles.pidfd.get(), handles.guard.descriptor(),
                   handles.qmp.descriptor(), copied != nullptr ? copied->descriptor() : -1, listener.get(),
                   lifetime.writing.get()});
    if (options.confine()) {
      QemuService service(handles, ram, std::move(news.first), std::move(shared));
      broker::Looking looking(service);
      if (options.borrower == broker::Borrower::Reader) {
        broker::serve(looking, requests.first);
      } else {
        broker::serve(service, requests.first, listener);
      }
    }
    ::_exit(0);
  }
  (void)std::move(handles.guard).take_apart();  // it watches the broker now
  Lent lent = lent_qemu(handles.process, handles.setup, ram,
                        {std::move(requests.second), std::move(news.second), std::move(memory)});
  lent.ended = std::move(lifetime.reading);
  lent.visitors = std::move(visitors);
  return lent;
}

}  // namespace furnace::hypervisor
