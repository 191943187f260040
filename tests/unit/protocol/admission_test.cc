// Who may connect to a listener that strangers reach.
#include "protocol/admission.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

namespace furnace::protocol {
namespace {

TEST(Admission, OneAddressTakesOnlyAShare) {
  const auto from = [](const char* text) {
    sockaddr_storage address{};
    auto& inner = reinterpret_cast<sockaddr_in&>(address);
    inner.sin_family = AF_INET;
    ::inet_pton(AF_INET, text, &inner.sin_addr);
    return source_of(address);
  };
  const Admission::Limits limits{64, 32};
  Admission admission;
  for (uint32_t i = 0; i < limits.of_one_source; ++i) EXPECT_TRUE(admission.enter(from("10.0.0.1"), limits));
  EXPECT_FALSE(admission.enter(from("10.0.0.1"), limits));
  for (uint32_t i = 0; i < limits.of_one_source; ++i) EXPECT_TRUE(admission.enter(from("10.0.0.2"), limits));
  EXPECT_FALSE(admission.enter(from("10.0.0.3"), limits)) << "of all together there are 64";
  admission.leave(from("10.0.0.1"));
  EXPECT_TRUE(admission.enter(from("10.0.0.1"), limits));
}

TEST(Admission, AnIpv6NetworkIsOneAddress) {
  const auto from = [](const char* text) {
    sockaddr_storage address{};
    auto& inner = reinterpret_cast<sockaddr_in6&>(address);
    inner.sin6_family = AF_INET6;
    ::inet_pton(AF_INET6, text, &inner.sin6_addr);
    return source_of(address);
  };
  EXPECT_EQ(from("2001:db8::1"), from("2001:db8::2:0:0:1"));
  EXPECT_NE(from("2001:db8::1"), from("2001:db8:0:1::1"));
  EXPECT_NE(from("::ffff:10.0.0.1"), from("::ffff:10.0.0.2"));
}

}  // namespace
}  // namespace furnace::protocol
