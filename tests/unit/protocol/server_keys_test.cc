// Which of a server's keys a client connects with, around a rotation.
#include "protocol/server_keys.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "support.h"

namespace furnace::protocol {
namespace {

using furnace::test::message_of;
using furnace::test::take;
using furnace::test::TemporaryDirectory;

class KeysOfAServer : public ::testing::Test {
 protected:
  std::string write(const char* name, std::optional<int64_t> until = {}) {
    Certificate certificate = take(new_certificate());
    certificate.valid_until = until;
    EXPECT_TRUE(write_file(directory_.path() / name, to_zpl(certificate, false)));
    return certificate.public_key;
  }
  [[nodiscard]] Result<ServerKeys> load() const { return ServerKeys::load(directory_.path() / "be.pub"); }
  std::time_t now_ = std::time(nullptr);
  TemporaryDirectory directory_;
};

TEST_F(KeysOfAServer, AreOneAsARule) {
  const std::string key = write("be.pub");
  ServerKeys keys = take(load());
  EXPECT_EQ(keys.current(), key);
  EXPECT_FALSE(keys.try_other());
  EXPECT_FALSE(keys.drop_expired());
}

TEST_F(KeysOfAServer, AreTriedInTurnWhileTheOldOneIsValid) {
  const std::string fresh = write("be.pub"), old = write("be.previous.pub", now_ + 3600);
  ServerKeys keys = take(load());
  EXPECT_EQ(keys.current(), fresh);
  EXPECT_TRUE(keys.try_other(now_));
  EXPECT_EQ(keys.current(), old);
  EXPECT_TRUE(keys.try_other(now_));
  EXPECT_EQ(keys.current(), fresh);
}

TEST_F(KeysOfAServer, AreOnlyTheNewOneWhenTheOldOneHasExpired) {
  const std::string fresh = write("be.pub");
  write("be.previous.pub", now_ + 3600);
  ServerKeys keys = take(load());
  ASSERT_TRUE(keys.try_other(now_));
  EXPECT_FALSE(keys.drop_expired(now_ + 3599));
  EXPECT_TRUE(keys.drop_expired(now_ + 3600));
  EXPECT_EQ(keys.current(), fresh);
  EXPECT_FALSE(keys.try_other(now_ + 3600));

  write("be.previous.pub", now_ - 1);
  EXPECT_FALSE(take(load()).try_other(now_));
}

TEST_F(KeysOfAServer, AreRefusedWithoutATimeForTheOldOne) {
  write("be.pub");
  write("be.previous.pub");
  EXPECT_NE(message_of(load()).find("be.previous.pub: says no time until which it is valid"),
            std::string::npos);
}

}  // namespace
}  // namespace furnace::protocol
