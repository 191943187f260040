#include "hypervisor/xen/domain.h"

#include <array>
#include <optional>
#include <span>
#include <vector>

#include "base/printable.h"
#include "base/text.h"

namespace furnace::hypervisor {
namespace {

std::string uuid_of(const xc_dominfo_t& info) {
  std::string text;
  for (size_t i = 0; i < std::size(info.handle); ++i)
    text += fmt::format("{}{:02x}", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", info.handle[i]);
  return text;
}

std::string name_of(xs_handle* store, uint32_t domain) {
  if (store == nullptr) return {};
  unsigned size = 0;
  const std::string path = fmt::format("/local/domain/{}/name", domain);
  const std::unique_ptr<void, decltype(&::free)> value(::xs_read(store, XBT_NULL, path.c_str(), &size),
                                                       &::free);
  return value ? std::string(static_cast<const char*>(value.get()), size) : std::string();
}

Domain describe(const xc_dominfo_t& info, std::string name) {
  return {.id = info.domid,
          .name = name.empty() ? uuid_of(info) : std::move(name),
          .pv = info.hvm == 0,
          .vcpus = info.max_vcpu_id + 1,
          .most_pages = info.max_memkb / 4,
          .paused = info.paused != 0};
}

}  // namespace

Result<Domain> find_domain(xc_interface& control, xs_handle* store, const std::string& wanted) {
  const auto number = parse_number<uint32_t>(wanted);
  std::string others;
  std::array<xc_dominfo_t, 64> infos{};
  for (uint32_t from = 0;;) {
    const int count = ::xc_domain_getinfo(&control, from, infos.size(), infos.data());
    if (count <= 0) break;
    for (const auto& info : std::span(infos).first(static_cast<size_t>(count))) {
      Domain domain = describe(info, name_of(store, info.domid));
      if (domain.name != wanted && uuid_of(info) != wanted && number != domain.id) {
        others += fmt::format("{}{} ({})", others.empty() ? "" : ", ", printable(domain.name), domain.id);
        continue;
      }
      if (domain.id == 0)
        return fail(Errc::Invalid, "domain 0 is the one we run in: it can't be introspected");
      return domain;
    }
    from = infos[static_cast<size_t>(count) - 1].domid + 1;
  }
  return fail(Errc::NotFound, "no Xen domain '{}'; there are: {}", wanted, others.empty() ? "none" : others);
}

Result<Domain> look_at_domain(xc_interface& control, uint32_t id) {
  xc_dominfo_t info{};
  if (::xc_domain_getinfo(&control, id, 1, &info) != 1 || info.domid != id || info.dying != 0 ||
      info.shutdown != 0)
    return fail(Errc::NotFound, "Xen domain {} doesn't exist any more", id);
  return describe(info, {});
}

}  // namespace furnace::hypervisor
