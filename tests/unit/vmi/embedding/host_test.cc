// furnace/vmi_host.h: structures that a program of another release has filled.
#include <furnace/vmi_host.h>

#include <array>
#include <cstring>
#include <memory>

#include "support.h"

namespace furnace {
namespace {

/// What a later release may have: members that this one doesn't know.
struct NewerGuest {
  furnace_guest known;
  std::array<uint64_t, 4> later;
};

class VmiHost : public ::testing::Test {
 protected:
  VmiHost() {
    guest_.known = {sizeof(furnace_guest),
                    nullptr,
                    "lent",
                    7,
                    1,
                    4096,
                    [](void*, uint64_t, void*, size_t) -> size_t { return 0; },
                    [](void*, uint64_t, const void*, size_t) -> size_t { return 0; },
                    [](void*, uint32_t, furnace_register*, size_t) -> size_t { return 0; },
                    [](void*) { return 1; },
                    [](void*) { return 1; },
                    [](void*, const furnace_watch*) -> const char* { return "none here"; },
                    [](void*, uint64_t) {}};
    options_.size = sizeof options_;
    options_.directory = place_.c_str();
  }
  /// The reason of a failure; empty: it serves.
  std::string open(const furnace_guest& guest, const furnace_vmi_options& options) {
    std::array<char, 300> why{};
    furnace_vmi_host* host = furnace_vmi_host_open(&guest, &options, why.data(), why.size());
    if (host == nullptr) return why.data();
    furnace_vmi_host_close(host);
    return "";
  }

  furnace::test::TemporaryDirectory directory_;
  std::string place_ = directory_.path() / "vmi";
  NewerGuest guest_{};
  furnace_vmi_options options_{};
};

TEST_F(VmiHost, ServesAProgramOfTheSameRelease) {
  EXPECT_EQ(open(guest_.known, options_), "");
}

TEST_F(VmiHost, IgnoresMembersOfALaterRelease) {
  guest_.known.size = sizeof guest_;
  guest_.later.fill(~0ULL);
  EXPECT_EQ(open(guest_.known, options_), "");
}

TEST_F(VmiHost, RefusesStructuresThatAreTooSmallAndReadsNothingAfterThem) {
  // On the heap, where the address sanitizer sees each byte.
  const auto small = std::make_unique<size_t>(sizeof(size_t));
  EXPECT_EQ(open(reinterpret_cast<const furnace_guest&>(*small), options_),
            "the `size` of furnace_guest is too small");
  EXPECT_EQ(open(guest_.known, reinterpret_cast<const furnace_vmi_options&>(*small)),
            "the `size` of furnace_vmi_options is too small");
}

TEST_F(VmiHost, DropsAnEventThatIsTooSmall) {
  std::array<char, 300> why{};
  furnace_vmi_host* host = furnace_vmi_host_open(&guest_.known, &options_, why.data(), why.size());
  ASSERT_NE(host, nullptr) << why.data();
  const auto small = std::make_unique<size_t>(sizeof(size_t));
  furnace_vmi_host_event(host, reinterpret_cast<const furnace_event*>(small.get()));
  furnace_vmi_host_handle(host);
  furnace_vmi_host_close(host);
}

}  // namespace
}  // namespace furnace
