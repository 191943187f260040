// Whose keys may connect, and for how long.
#include "protocol/allow_list.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <ctime>
#include <fstream>

#include "base/file.h"
#include "support.h"

namespace furnace::protocol {
namespace {

using furnace::test::message_of;
using furnace::test::take;
using furnace::test::TemporaryDirectory;
namespace fs = std::filesystem;

class Keys : public ::testing::Test {
 protected:
  /// A new key's public certificate in a file.
  std::string write(const fs::path& name, const std::string& app = {}, std::optional<int64_t> until = {}) {
    Certificate certificate = take(new_certificate());
    certificate.app = app;
    certificate.valid_until = until;
    fs::create_directories((directory_.path() / name).parent_path());
    EXPECT_TRUE(write_file(directory_.path() / name, to_zpl(certificate, false)));
    return certificate.public_key;
  }
  TemporaryDirectory directory_;
};

TEST_F(Keys, OfADirectoryBelongToTheAppThatTheirPlaceNames) {
  const std::string one = write("one-app.pub");
  const std::string two = write("two-app/app.pub");
  AllowList list;
  ASSERT_TRUE(list.add_directory(directory_.path()));
  EXPECT_TRUE(list.allows(one, "one-app"));
  EXPECT_FALSE(list.allows(one, "two-app"));
  EXPECT_TRUE(list.allows(two, "two-app"));
  EXPECT_FALSE(list.allows(take(new_certificate()).public_key, "one-app"));
  EXPECT_EQ(list.apps(), 2U);
}

TEST_F(Keys, OfAFileBelongToTheAppOfTheirMetadataOrToAny) {
  const std::string bound = write("app.pub", "one-app");
  const std::string free = write("other.pub");
  AllowList list;
  ASSERT_TRUE(list.add_file(directory_.path() / "app.pub"));
  ASSERT_TRUE(list.add_file(directory_.path() / "other.pub"));
  EXPECT_TRUE(list.allows(bound, "one-app"));
  EXPECT_FALSE(list.allows(bound, "two-app"));
  EXPECT_TRUE(list.allows(free, "two-app"));
}

TEST_F(Keys, ThatWereExchangedAreBothValidUntilTheOldOneExpires) {
  const std::string fresh = write("app.pub");
  const std::string old = write("app.previous.pub", {}, std::time(nullptr) + 3600);
  AllowList list;
  ASSERT_TRUE(list.add_file(directory_.path() / "app.pub"));
  EXPECT_TRUE(list.allows(fresh, "x"));
  EXPECT_TRUE(list.allows(old, "x"));
  const std::string expired = write("app.previous.pub", {}, std::time(nullptr) - 1);
  EXPECT_TRUE(list.refresh());
  EXPECT_FALSE(list.allows(expired, "x"));
  EXPECT_FALSE(list.allows(old, "x"));
  EXPECT_TRUE(list.allows(fresh, "x"));
}

TEST_F(Keys, AreReadAgainWhenFilesComeAndGo) {
  AllowList list;
  ASSERT_TRUE(list.add_directory(directory_.path()));
  EXPECT_FALSE(list.refresh());
  const std::string one = write("one-app.pub");
  EXPECT_TRUE(list.refresh());
  EXPECT_TRUE(list.allows(one, "one-app"));
  fs::rename(directory_.path() / "one-app.pub", directory_.path() / "one-app.revoked");
  EXPECT_TRUE(list.refresh());
  EXPECT_FALSE(list.allows(one, "one-app"));
}

TEST_F(Keys, ThatAreWrongAreNamedAndLeaveOtherPeersAlone) {
  const std::string good = write("good-app.pub");
  ASSERT_TRUE(write_file(directory_.path() / "bad-app.pub", "curve\n    public-key = \"short\"\n"));
  write("liar-app.pub", "good-app");
  AllowList list;
  const auto read = list.add_directory(directory_.path());
  ASSERT_FALSE(read);
  EXPECT_NE(message_of(read).find("bad-app.pub:2: public-key"), std::string::npos) << message_of(read);
  EXPECT_TRUE(list.allows(good, "good-app"));
  EXPECT_EQ(list.keys(), 1U);
}

TEST_F(Keys, OfOneAppAreNotTakenForAnother) {
  write("one-app.pub");
  fs::copy(directory_.path() / "one-app.pub", directory_.path() / "two-app.pub");
  AllowList list;
  EXPECT_NE(message_of(list.add_directory(directory_.path())).find("the key of app 'one-app' already"),
            std::string::npos);
}

TEST_F(Keys, OfASecretFileMustBelongTogether) {
  Certificate mixed = take(new_certificate());
  mixed.secret_key = take(new_certificate()).secret_key;
  const auto file = directory_.path() / "app.key";
  ASSERT_TRUE(write_file(file, to_zpl(mixed, true), 0600));
  EXPECT_NE(message_of(load_secret(file)).find("don't belong together"), std::string::npos);
  EXPECT_FALSE(check_distinct(mixed, mixed, "app.key", "be.key"));
}

TEST_F(Keys, SayWhenTheyAreValid) {
  Certificate certificate = take(new_certificate());
  certificate.app = "one-app";
  certificate.valid_until = 1'800'000'000;
  const auto read = take(parse_certificate(to_zpl(certificate, true), "x.key"));
  EXPECT_EQ(read.valid_until, certificate.valid_until);
  EXPECT_EQ(read.app, "one-app");
  EXPECT_EQ(utc_time(1'800'000'000), "2027-01-15T08:00:00Z");
  EXPECT_NE(message_of(parse_certificate("metadata\n    valid-until = \"soon\"\n", "x.pub"))
                .find("x.pub:2: valid-until"),
            std::string::npos);
}

}  // namespace
}  // namespace furnace::protocol
