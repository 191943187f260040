// The parts of a backend: how far apps have come, workers, sinks, where messages come from.
#include <gtest/gtest.h>

#include <fstream>
#include <future>
#include <nlohmann/json.hpp>
#include <set>

#include "backend/address.h"
#include "backend/progress.h"
#include "backend/sinks/feeder.h"
#include "backend/sinks/record.h"
#include "backend/workers.h"
#include "support.h"

namespace furnace::backend {
namespace {

using furnace::test::message_of;
using furnace::test::take;
using furnace::test::TemporaryDirectory;

facilities::BeMsg durable(uint64_t outbox, uint64_t number, uint64_t first) {
  facilities::BeMsg message;
  message.set_outbox(outbox);
  message.set_number(number);
  message.set_first(first);
  return message;
}

TEST(Progress, TakesDurableMessagesOnceAndInOrder) {
  AppProgress progress;
  EXPECT_EQ(judge(progress, durable(7, 2, 1)), Verdict::TooEarly) << "1 is still to come";
  EXPECT_EQ(judge(progress, durable(7, 5, 5)), Verdict::Deliver) << "somebody else had those before";
  progress = {7, 5, {}, 0};
  EXPECT_EQ(judge(progress, durable(7, 5, 1)), Verdict::Known);
  EXPECT_EQ(judge(progress, durable(7, 6, 1)), Verdict::Deliver);
  EXPECT_EQ(judge(progress, durable(7, 8, 6)), Verdict::TooEarly);
  EXPECT_EQ(judge(progress, durable(7, 8, 8)), Verdict::Deliver);
  progress.taken = 6;
  EXPECT_EQ(judge(progress, durable(7, 6, 6)), Verdict::InWork);
  EXPECT_EQ(judge(progress, durable(7, 7, 6)), Verdict::Deliver);
  EXPECT_EQ(judge(progress, durable(9, 1, 1)), Verdict::Deliver) << "another outbox: a new FAC storage";
}

TEST(Progress, IsKeptOverARestartAndDamageIsNoticed) {
  const TemporaryDirectory directory;
  {
    Progress progress = take(Progress::open(directory.path()));
    *progress.of("one-app") = {7, 5, {3, 4}, 0};
    progress.save("one-app");
  }
  Progress progress = take(Progress::open(directory.path()));
  EXPECT_EQ(progress.of("one-app")->number, 5U);
  EXPECT_EQ(progress.of("one-app")->received.sequence, 4U);
  std::ofstream(directory.path() / "two-app") << "nonsense";
  EXPECT_EQ(progress.of("two-app")->number, 0U);
}

TEST(SequenceTracker, CountsWhatIsMissing) {
  protocol::SequenceTracker received;
  const auto take_one = [&](uint64_t run, uint64_t sequence) {
    facilities::BeMsg message;
    message.set_run(run);
    message.set_sequence(sequence);
    return received.take(message);
  };
  EXPECT_EQ(take_one(1, 10), 0U) << "what came before this one began is not known";
  EXPECT_EQ(take_one(1, 11), 0U);
  EXPECT_EQ(take_one(1, 15), 3U);
  EXPECT_EQ(take_one(1, 15), 0U);
  EXPECT_EQ(take_one(2, 1), 0U);
  EXPECT_EQ(received.take({}), 0U) << "a peer of 1.0";
}

protocol::Frames frames(const std::vector<std::string>& parts) {
  protocol::Frames made;
  for (const auto& part : parts) made.emplace_back(part.data(), part.size());
  return made;
}

TEST(Address, IsUnderstoodInAllForms) {
  const auto relayed = understand(frames({"one-app-r", "", "body"}), Mode::Dealer);
  ASSERT_TRUE(relayed);
  EXPECT_EQ(relayed->app, "one-app");
  EXPECT_TRUE(relayed->wants_answer);
  EXPECT_EQ(way_back(*relayed, Mode::Dealer), (std::vector<std::string>{"one-app-r", ""}));

  const auto blind = understand(frames({"secret", "one-app-d", "body"}), Mode::Router);
  ASSERT_TRUE(blind);
  EXPECT_EQ(blind->app, "one-app");
  EXPECT_FALSE(blind->wants_answer);
  EXPECT_FALSE(blind->is_direct);
  EXPECT_EQ(way_to(*blind, Mode::Router), (std::vector<std::string>{"secret", "one-app-d"}));

  const auto direct = understand(frames({"one-app-r", "", "body"}), Mode::Router);
  ASSERT_TRUE(direct);
  EXPECT_TRUE(direct->is_direct);
  EXPECT_EQ(way_back(*direct, Mode::Router), (std::vector<std::string>{"one-app-r", ""}));

  const auto request = understand(frames({"secret", "one-app-r", "", "body"}), Mode::Router);
  ASSERT_TRUE(request);
  EXPECT_EQ(way_back(*request, Mode::Router), (std::vector<std::string>{"secret", "one-app-r", ""}));
}

TEST(Address, OfOddFormsIsRefused) {
  for (const auto& parts : std::vector<std::vector<std::string>>{{"body"},
                                                                 {"one-app-r", "not empty", "body"},
                                                                 {"../etc-r", "", "body"},
                                                                 {"", "body"},
                                                                 {"a", "", "b", "c"}})
    EXPECT_FALSE(understand(frames(parts), Mode::Dealer));
  for (const auto& parts : std::vector<std::vector<std::string>>{
           {"body"}, {"x", "a/b-d", "body"}, {"x", "one-app-r", "y", "z"}, {"x", "y", "", "z", "w"}})
    EXPECT_FALSE(understand(frames(parts), Mode::Router));
}

TEST(Workers, KeepTheOrderOfEachAppAndRunAppsSideBySide) {
  std::mutex mutex;
  std::map<std::string, std::vector<int>> seen;
  std::promise<void> other_ran;
  {
    Workers workers(2);
    workers.add("slow", [&] { other_ran.get_future().wait(); });
    workers.add("other", [&] { other_ran.set_value(); });
    for (int i = 0; i < 100; ++i)
      for (const char* app : {"a", "b", "c"})
        workers.add(app, [&, app, i] {
          const std::lock_guard lock(mutex);
          seen[app].push_back(i);
        });
    while (workers.unfinished() != 0) std::this_thread::yield();
  }
  for (const char* app : {"a", "b", "c"}) {
    ASSERT_EQ(seen[app].size(), 100U);
    EXPECT_TRUE(std::is_sorted(seen[app].begin(), seen[app].end()));
  }
}

Message message(const std::string& content) {
  Message made;
  made.app = "one-app";
  made.content = content;
  made.received_ns = 1'800'000'000'123'456'789;
  made.traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  return made;
}

TEST(Record, IsOneLineOfJson) {
  const auto record = nlohmann::json::parse(to_json(message("two\nlines \xff")));
  EXPECT_EQ(record["time"], "2027-01-15T08:00:00.123456789Z");
  EXPECT_EQ(record["app"], "one-app");
  EXPECT_EQ(record["kind"], "message");
  EXPECT_EQ(record["text"], "two\nlines \xef\xbf\xbd");
  EXPECT_EQ(record["trace_id"], "0af7651916cd43dd8448eb211c80319c");
  EXPECT_EQ(to_json(message("two\nlines")).find('\n'), std::string::npos);
}

TEST(FileSink, RotatesAndKeepsAFew) {
  const TemporaryDirectory directory;
  const auto file = directory.path() / "log";
  auto sink = take(make_sink(fmt::format("file:{},rotate=1000,keep=2", file.string()), {}));
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(sink->write(std::vector{message(fmt::format("message {}", i))}));
  EXPECT_TRUE(std::filesystem::exists(file.string() + ".2"));
  EXPECT_FALSE(std::filesystem::exists(file.string() + ".3"));
  EXPECT_LE(std::filesystem::file_size(file), 1000U);
  std::ifstream lines(file);
  std::string line, last;
  while (std::getline(lines, line)) last = line;
  EXPECT_EQ(nlohmann::json::parse(last)["text"], "message 99");
}

TEST(Sinks, SayWhatIsWrongWithThem) {
  for (const char* wrong : {"file:", "file:/nowhere/at/all", "file:/tmp/x,size=3", "file:/tmp/x,keep=many",
                            "webhook:ftp://x", "otlp:", "mail:me", "syslog:/nowhere"})
    EXPECT_FALSE(make_sink(wrong, {})) << wrong;
  EXPECT_NE(message_of(make_sink("mail:me", {})).find("expected file:PATH"), std::string::npos);
}

TEST(Otlp, IsAnExportOfLogs) {
  const std::vector messages{message("text")};
  const auto body = nlohmann::json::parse(otlp_body(messages));
  const auto& record = body["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0];
  EXPECT_EQ(record["timeUnixNano"], "1800000000123456789");
  EXPECT_EQ(record["body"]["stringValue"], "text");
  EXPECT_EQ(record["traceId"], "0af7651916cd43dd8448eb211c80319c");
  EXPECT_EQ(record["attributes"][0]["value"]["stringValue"], "one-app");
}

/// Fails until it is told not to.
class Flaky : public Sink {
 public:
  Flaky(std::atomic<bool>& works, std::vector<std::string>& stored) : works_(works), stored_(stored) {}
  Status write(std::span<const Message> messages) override {
    if (!works_) return fail(Errc::Unavailable, "not now");
    for (const Message& each : messages) stored_.push_back(each.content);
    return {};
  }

 private:
  std::atomic<bool>& works_;
  std::vector<std::string>& stored_;
};

TEST(Feeder, KeepsWhatCouldNotBeStoredAndTriesAgain) {
  std::atomic<bool> works = false;
  std::vector<std::string> stored;
  {
    Feeder feeder("flaky", std::make_unique<Flaky>(works, stored));
    for (int i = 0; i < 250; ++i) feeder.add(message(std::to_string(i)));
    while (feeder.failures() == 0) std::this_thread::yield();
    works = true;
  }
  ASSERT_EQ(stored.size(), 250U);
  EXPECT_EQ(stored.back(), "249");
}

TEST(Feeder, DropsAndCountsWhatIsTooMuch) {
  std::atomic<bool> works = false;
  std::vector<std::string> stored;
  Feeder feeder("flaky", std::make_unique<Flaky>(works, stored));
  for (int i = 0; i < 12'000; ++i) feeder.add(message("x"));
  EXPECT_GT(feeder.dropped(), 1000U);
  works = true;
}

}  // namespace
}  // namespace furnace::backend
