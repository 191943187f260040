#include "hypervisor/xen/broker.h"

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <set>

#include "base/helper_process.h"
#include "hypervisor/broker/service.h"
#include "hypervisor/xen/xen.h"

namespace furnace::hypervisor {
namespace {

using broker::Answer;
using broker::Ask;
using broker::Request;
using nlohmann::json;

class XenService : public broker::Service {
 public:
  XenService(std::unique_ptr<Xen> xen, Fd bell) : xen_(std::move(xen)), bell_(std::move(bell)) {}

  /// What was reported stays unread until the partition asks for it.
  std::vector<int> descriptors() override { return told_ ? std::vector<int>() : xen_->descriptors(); }

  void tell() override {
    const uint64_t one = 1;
    told_ = ::write(bell_.get(), &one, sizeof one) == sizeof one;
  }

  Answer answer(const Request& request, std::span<const std::byte> /*asked*/,
                std::vector<std::byte>& items) override {
    Answer answer;
    switch (request.ask) {
      case Ask::Registers: {
        const auto read = xen_->registers(static_cast<uint32_t>(request.number));
        if (!read) return broker::failed(read.error());
        broker::add(items, answer, **read);
        return answer;
      }
      case Ask::Pause:
        return broker::said(xen_->pause());
      case Ask::Resume:
        return broker::said(xen_->resume());
      case Ask::State:
        answer.state = xen_->state();
        return answer;
      case Ask::Watch:
        answer = watch(request);
        add_covered(items, answer);
        return answer;
      case Ask::Unwatch:
        watches_.erase(request.number);
        answer = broker::said(xen_->events()->unwatch(request.number));
        add_covered(items, answer);
        return answer;
      case Ask::Forget:
        watches_.clear();
        xen_->events()->forget();
        return answer;
      case Ask::Take:
        told_ = false;
        for (const GuestEvent& event : xen_->events()->take())
          broker::add(items, answer, broker::pack(event));
        return answer;
      case Ask::Proceed:
        xen_->events()->proceed();
        return answer;
      case Ask::Poll:
        told_ = false;
        for (const Notice notice : xen_->poll()) broker::add(items, answer, static_cast<uint8_t>(notice));
        return answer;
      default:
        return broker::failed({Errc::Invalid, "a request that the Xen driver does not know"});
    }
  }

 private:
  /// An answer to a change of watches says which bytes are covered now.
  void add_covered(std::vector<std::byte>& items, Answer& answer) const {
    for (const auto& [gpa, byte] : xen_->domain_memory().covered().all())
      broker::add(items, answer, broker::SentByte{gpa, std::to_integer<uint64_t>(byte)});
  }

  Answer watch(const Request& request) {
    Watch wanted;
    wanted.kind = static_cast<EventKind>(request.kind);
    wanted.address = guest::Gva{request.address};
    wanted.length = request.length;
    wanted.access = request.access;
    if (request.has_table != 0) wanted.table = guest::PageTable{guest::Gpa{request.root}, request.levels};
    if (!xen_->events()->offers(wanted.kind) ||
        (wanted.table && wanted.table->levels != 4 && wanted.table->levels != 5))
      return broker::failed({Errc::Invalid, "an event that the Xen driver does not know"});
    constexpr size_t most = 1000;
    if (watches_.size() >= most)
      return broker::failed({Errc::Unavailable, "1000 events are watched for: that is the limit"});
    const auto number = xen_->events()->watch(wanted);
    if (!number) return broker::failed(number.error());
    watches_.insert(*number);
    Answer answer;
    answer.number = *number;
    return answer;
  }

  std::unique_ptr<Xen> xen_;
  Fd bell_;
  std::set<uint64_t> watches_;
  bool told_ = false;  // the partition knows that something waits for it
};

/// What the partition needs to know once.
json describe(Xen& xen) {
  json ranges = json::array();
  for (const auto& range : xen.memory().ranges()) ranges.push_back({range.start.value, range.end.value});
  return {{"name", xen.name()},
          {"id", xen.id()},
          {"vcpus", xen.vcpus()},
          {"ranges", ranges},
          {"pv", xen.domain_memory().layout().machine_frames.has_value()}};
}

bool write_frames(const Fd& file, std::span<const uint64_t> frames) {
  auto bytes = std::as_bytes(frames);
  while (!bytes.empty()) {
    const ssize_t written = ::write(file.get(), bytes.data(), bytes.size());
    if (written <= 0) return false;
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return true;
}

/// A domain's name is the toolstack's: whatever bytes it has.
std::string to_line(const json& text) {
  return text.dump(-1, ' ', false, json::error_handler_t::replace);
}

/// Attaches, says what it is, or why that failed, and serves.
void run_broker(const std::string& name, const Fd& socket, Fd bell, const Fd& frames, Fd hello,
                broker::Borrower borrower) {
  auto xen = Xen::open(name);
  json text;
  if (!xen) {
    text = {{"error", xen.error().message()}, {"code", static_cast<int>(xen.error().code())}};
  } else {
    text = describe(**xen);
    if (const auto& machine = (*xen)->domain_memory().layout().machine_frames;
        machine && !write_frames(frames, machine->all()))
      text = {{"error", "the table of machine frames could not be handed over"},
              {"code", static_cast<int>(Errc::Failed)}};
  }
  const std::string said = to_line(text);
  const bool is_told = ::write(hello.get(), said.data(), said.size()) == static_cast<ssize_t>(said.size());
  hello.close();
  if (!is_told || text.contains("error")) return;
  XenService service(*std::move(xen), std::move(bell));
  broker::Looking looking(service);
  broker::serve(borrower == broker::Borrower::Reader ? static_cast<broker::Service&>(looking) : service,
                socket);
}

/// What the broker says when it has attached; the error if it could not.
Result<json> hear(const Fd& hello) {
  std::string text;
  std::array<char, 4096> piece{};
  ssize_t size = 0;
  while ((size = ::read(hello.get(), piece.data(), piece.size())) > 0)
    text.append(piece.data(), static_cast<size_t>(size));
  json said = json::parse(text, nullptr, false);
  if (said.is_discarded())
    return fail(Errc::Failed, "the process that holds Xen's control ended at its start");
  if (said.contains("error"))
    return fail(static_cast<Errc>(said.value("code", 0)), "{}", said.value("error", ""));
  return said;
}

}  // namespace

Result<Lent> lend_xen(const std::string& name, const LendOptions& options) {
  FURNACE_TRY(auto sockets, broker::connection());
  FURNACE_TRY(auto hello, make_pipe());
  Fd bell(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  Fd frames(::memfd_create("furnace-frames", MFD_CLOEXEC));
  if (!bell.valid() || !frames.valid()) return fail_errno("Xen's broker");
  FURNACE_TRY(Pipe lifetime, make_pipe());
  const pid_t pid = ::fork();
  if (pid < 0) return fail_errno("fork");
  if (pid == 0) {
    become_helper("furnace-broker", {sockets.first.get(), bell.get(), frames.get(), hello.writing.get(),
                                     lifetime.writing.get()});
    run_broker(name, sockets.first, std::move(bell), frames, std::move(hello.writing), options.borrower);
    ::_exit(0);
  }
  hello.writing.close();
  FURNACE_TRY(json text, hear(hello.reading));
  FURNACE_TRY(ForeignMemory foreign, ForeignMemory::open());
  FURNACE_CHECK(foreign.restrict_to(text.at("id").get<uint32_t>()));
  Lent lent;
  lent.ended = std::move(lifetime.reading);
  for (auto& [key, descriptor] :
       {std::pair("socket", &sockets.second), std::pair("bell", &bell), std::pair("frames", &frames)}) {
    text[key] = descriptor->get();
    lent.descriptors.push_back(std::move(*descriptor));
  }
  lent.descriptors.push_back(std::move(foreign).take_apart());
  text["privcmd"] = lent.descriptors.back().get();
  for (const json& range : text.at("ranges"))
    lent.memory_end = std::max(lent.memory_end.value_or(0), range.at(1).get<uint64_t>());
  lent.text = to_line(text);
  return lent;
}

}  // namespace furnace::hypervisor
