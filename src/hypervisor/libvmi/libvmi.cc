#include "hypervisor/libvmi/libvmi.h"

#include <algorithm>
#include <array>
#include <filesystem>

#include "base/log.h"
#include "hypervisor/libvmi/libvmi_events.h"

namespace furnace::hypervisor {
namespace {

struct Known {
  Reg reg;
  reg_t libvmi;
};
constexpr std::array kKnown = {
    Known{Reg::Rax, RAX},
    Known{Reg::Rbx, RBX},
    Known{Reg::Rcx, RCX},
    Known{Reg::Rdx, RDX},
    Known{Reg::Rsi, RSI},
    Known{Reg::Rdi, RDI},
    Known{Reg::Rbp, RBP},
    Known{Reg::Rsp, RSP},
    Known{Reg::R8, R8},
    Known{Reg::R9, R9},
    Known{Reg::R10, R10},
    Known{Reg::R11, R11},
    Known{Reg::R12, R12},
    Known{Reg::R13, R13},
    Known{Reg::R14, R14},
    Known{Reg::R15, R15},
    Known{Reg::Rip, RIP},
    Known{Reg::Rflags, RFLAGS},
    Known{Reg::Cr0, CR0},
    Known{Reg::Cr2, CR2},
    Known{Reg::Cr3, CR3},
    Known{Reg::Cr4, CR4},
    Known{Reg::Efer, MSR_EFER},
    Known{Reg::FsBase, FS_BASE},
    Known{Reg::GsBase, GS_BASE},
    Known{Reg::GdtrBase, GDTR_BASE},
    Known{Reg::IdtrBase, IDTR_BASE},
};

/// A hole ends a read at its page: LibVMI itself gives up a read that meets one anywhere.
constexpr size_t kPiece = guest::kPageSize;

const char* explain(vmi_init_error_t error) {
  switch (error) {
    case VMI_INIT_ERROR_DRIVER_NOT_DETECTED:
      return "it finds no hypervisor that it knows";
    case VMI_INIT_ERROR_DRIVER:
      return "its driver for this hypervisor does not start";
    case VMI_INIT_ERROR_VM_NOT_FOUND:
      return "it finds no such VM";
    default:
      return "it does not say why";
  }
}

}  // namespace

LibVmiMemory::LibVmiMemory(vmi_instance_t instance) : instance_(instance) {
  vmi_mode_t mode = VMI_FILE;
  (void)::vmi_get_access_mode(instance, nullptr, 0, nullptr, &mode);
  writable_ = mode != VMI_FILE;
  // Where RAM is LibVMI does not tell: holes read as not there.
  ranges_.push_back({guest::Gpa{0}, guest::Gpa{::vmi_get_max_physical_address(instance)}});
}

size_t LibVmiMemory::read(guest::Gpa from, std::span<std::byte> out) const {
  size_t done = 0;
  while (done < out.size()) {
    const uint64_t at = from.value + done;
    if (at < from.value || at >= ranges_.back().end.value) break;
    const size_t wanted = std::min<size_t>(out.size() - done, kPiece - at % kPiece);
    size_t got = 0;
    (void)::vmi_read_pa(instance_, at, wanted, out.data() + done, &got);
    done += got;
    if (got != wanted) break;
  }
  covered_.apply(from, out.first(done));
  return done;
}

size_t LibVmiMemory::write(guest::Gpa to, std::span<const std::byte> data) {
  if (!writable_) return 0;
  size_t done = 0;
  void* const bytes = const_cast<std::byte*>(data.data());  // NOLINT: LibVMI's, which does not write there
  (void)::vmi_write_pa(instance_, to.value, data.size(), bytes, &done);
  return done;
}

Result<std::unique_ptr<Hypervisor>> LibVmi::attach(const std::string& name) {
  std::error_code ignored;
  const bool is_file = std::filesystem::is_regular_file(name, ignored);
  vmi_mode_t mode = VMI_FILE;
  if (!is_file &&
      ::vmi_get_access_mode(nullptr, name.c_str(), VMI_INIT_DOMAINNAME, nullptr, &mode) != VMI_SUCCESS)
    return fail(Errc::NotFound, "LibVMI: '{}' is no file, and no VM of a hypervisor that it knows here",
                name);
  vmi_instance_t made = nullptr;
  vmi_init_error_t error = VMI_INIT_ERROR_NONE;
  if (::vmi_init(&made, mode, name.c_str(), VMI_INIT_DOMAINNAME, nullptr, &error) != VMI_SUCCESS)
    return fail(Errc::Unavailable, "LibVMI, VM '{}': {}", name, explain(error));
  LibVmiInstance instance(made);
  const AccessMode known = mode == VMI_XEN    ? AccessMode::Xen
                           : mode == VMI_FILE ? AccessMode::File
                                              : AccessMode::Kvm;
  std::unique_ptr<LibVmi> attached(new LibVmi(name, known, std::move(instance)));
#ifdef FURNACE_XEN
  if (mode == VMI_XEN) {
    FURNACE_TRY(XenGuard guard, XenGuard::start(attached->id()));
    attached->events_ = std::make_unique<LibVmiEvents>(name, attached->memory_, std::move(guard));
  }
#endif
  return attached;
}

LibVmi::LibVmi(std::string name, AccessMode mode, LibVmiInstance instance)
    : name_(std::move(name)), mode_(mode), instance_(std::move(instance)), memory_(instance_.get()) {}

LibVmi::~LibVmi() {
  if (auto resumed = resume(); !resumed) log::debug("{}", resumed.error().message());
}

uint32_t LibVmi::id() const {
  return mode_ == AccessMode::File ? 0 : static_cast<uint32_t>(::vmi_get_vmid(instance_.get()));
}

uint32_t LibVmi::vcpus() const {
  return std::max(1U, ::vmi_get_num_vcpus(instance_.get()));
}

Result<std::optional<Registers>> LibVmi::registers(uint32_t vcpu) {
  if (mode_ == AccessMode::File) return std::nullopt;
  if (vcpu >= vcpus()) return fail(Errc::Invalid, "vCPU {} of {}", vcpu, vcpus());
  Registers registers;
  for (const auto& [reg, libvmi] : kKnown)
    if (uint64_t value = 0; ::vmi_get_vcpureg(instance_.get(), &value, libvmi, vcpu) == VMI_SUCCESS)
      registers.set(reg, value);
  return complete(registers, fmt::format("LibVMI: vCPU {} of '{}'", vcpu, name_));
}

#ifdef FURNACE_XEN
std::vector<int> LibVmi::descriptors() const {
  return events_ ? std::vector{events_->descriptor()} : std::vector<int>{};
}
EventSource* LibVmi::events() {
  return events_.get();
}
Status LibVmi::note_paused(bool paused) {
  return events_ ? events_->guard().note_paused(paused) : Status{};
}
#else
std::vector<int> LibVmi::descriptors() const {
  return {};
}
EventSource* LibVmi::events() {
  return nullptr;
}
Status LibVmi::note_paused(bool) {
  return {};
}
#endif

Status LibVmi::pause() {
  if (paused_ || mode_ == AccessMode::File) return {};
  FURNACE_CHECK(note_paused(true));
  if (::vmi_pause_vm(instance_.get()) != VMI_SUCCESS) {
    (void)note_paused(false);
    return fail(Errc::Failed, "LibVMI: '{}' not paused", name_);
  }
  paused_ = true;
  return {};
}

Status LibVmi::resume() {
  if (!std::exchange(paused_, false)) return {};
  if (::vmi_resume_vm(instance_.get()) != VMI_SUCCESS)
    return fail(Errc::Failed, "LibVMI: '{}' not resumed", name_);
  return note_paused(false);
}

}  // namespace furnace::hypervisor
