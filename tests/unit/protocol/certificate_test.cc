#include "protocol/certificate.h"

#include <sys/stat.h>

#include "base/file.h"
#include "protocol/framing.h"
#include "support.h"

namespace furnace::protocol {
namespace {

// As pyzmq's zmq.auth.create_certificates writes it.
constexpr const char* kForeign = R"(#   ****  Generated on 2026-01-01 by pyzmq  ****
#   ZeroMQ CURVE **Secret** Certificate

metadata
    name = "someone"
curve
    public-key = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
    secret-key = "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6"
)";

TEST(Certificate, IsReadAsOtherToolsWriteIt) {
  const auto certificate = test::take(parse_certificate(kForeign, "app.key"));
  EXPECT_EQ(certificate.public_key, "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7");
  EXPECT_EQ(certificate.secret_key, "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6");
}

TEST(Certificate, ErrorsNameFileLineAndKey) {
  EXPECT_EQ(parse_certificate("curve\n    public-key = \"short\"\n", "x.pub").error().message(),
            "x.pub:2: public-key is not a Z85 key of 40 characters");
  EXPECT_NE(parse_certificate("", "x.pub").error().message().find("x.pub: no 'public-key'"),
            std::string::npos);
  // A key outside the curve section is none.
  EXPECT_FALSE(
      parse_certificate("metadata\n    public-key = \"rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7\"\n", "x"));
}

TEST(Certificate, IsSavedWithAPrivateSecretAndReadBack) {
  const test::TemporaryDirectory directory;
  const auto made = test::take(new_certificate());
  ASSERT_TRUE(save_certificate(made, directory.path(), "app"));
  struct stat info {};
  ASSERT_EQ(::stat((directory.path() / "app.key").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
  EXPECT_EQ(test::take(load_secret(directory.path() / "app.key")).secret_key, made.secret_key);
  const auto shown = test::take(load_public(directory.path() / "app.pub"));
  EXPECT_EQ(shown.public_key, made.public_key);
  EXPECT_TRUE(shown.secret_key.empty());
}

TEST(Certificate, NeverReplacesKeys) {
  const test::TemporaryDirectory directory;
  ASSERT_TRUE(save_certificate(test::take(new_certificate()), directory.path(), "app"));
  EXPECT_FALSE(save_certificate(test::take(new_certificate()), directory.path(), "app"));
}

TEST(Certificate, SecretThatOthersCanReadIsRefusedWithTheWayOut) {
  const test::TemporaryDirectory directory;
  const auto path = directory.path() / "app.key";
  ASSERT_TRUE(write_file(path, kForeign, 0644));
  const auto loaded = load_secret(path);
  ASSERT_FALSE(loaded);
  EXPECT_NE(loaded.error().message().find("chmod 600 " + path.string()), std::string::npos);
  // Never the secret itself in a message.
  EXPECT_EQ(loaded.error().message().find("JTKVSB"), std::string::npos);
}

TEST(Framing, DistinguishesRequestsFromMessages) {
  const auto frames_of = [](std::vector<std::string> parts) {
    Frames frames;
    for (const auto& part : parts) frames.emplace_back(part.data(), part.size());
    return frames;
  };
  Frames good = frames_of({"app-r", "", "body"});
  ASSERT_TRUE(as_request(good));
  EXPECT_NE(as_request(good)->body, nullptr);
  Frames longer = frames_of({"app-r", "", "body", "more"});
  ASSERT_TRUE(as_request(longer));
  EXPECT_EQ(as_request(longer)->body, nullptr);
  Frames one_way = frames_of({"app-d", "body"});
  EXPECT_FALSE(as_request(one_way));
}

TEST(Framing, AppIdsAreChecked) {
  EXPECT_TRUE(check_app_id("11111111-1111-1111-1111-111111111111-app"));
  EXPECT_FALSE(check_app_id(""));
  EXPECT_FALSE(check_app_id("a/b"));
  EXPECT_FALSE(check_app_id(std::string(65, 'a')));
}

TEST(Framing, SocketPathsThatAreTooLongAreNamed) {
  const auto address = ipc_address("/" + std::string(120, 'd'), "vmi_rtr");
  ASSERT_FALSE(address);
  EXPECT_NE(address.error().message().find("choose a shorter directory"), std::string::npos);
}

}  // namespace
}  // namespace furnace::protocol
