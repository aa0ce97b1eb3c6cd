#include "services/realtime/row_changes.h"

#include <doctest/doctest.h>

#include <array>
#include <functional>
#include <future>
#include <mutex>
#include <thread>

#include "domain/auth/jwt.h"
#include "services/realtime/stored_broadcast.h"
#include "testing/one_worker.h"

namespace rt::realtime {
namespace {

using Frames = std::vector<std::string>;
using phoenix::Version;

constexpr std::string_view kSecret = "the secret of acme";
constexpr auto kOk = ChangesNotice::Status::kOk;

class Call final : public net::Mail {
 public:
  explicit Call(std::function<void()> call) : call_(std::move(call)) {}
  void deliver() override { call_(); }

 private:
  const std::function<void()> call_;
};

struct Client {
  int worker = 0;
  std::string session;  // its token
};

// A node of two workers, each on a thread of its own, and what it says to the database.
struct TwoWorkers {
  enum class Databases : std::uint8_t { kHas, kHasNone };
  explicit TwoWorkers(Databases databases = Databases::kHas) {
    if (databases == Databases::kHas) {
      node.changes = {.subscribe =
                          [this](std::string_view tenant, ChangesQuestion question) {
                            CHECK(tenant == "acme");
                            const std::lock_guard lock(mutex);
                            questions.push_back(std::move(question));
                          },
                      .unsubscribe =
                          [this](std::string_view tenant, ChangesId id) {
                            CHECK(tenant == "acme");
                            const std::lock_guard lock(mutex);
                            ended.push_back(id);
                          }};
    }
    for (int i = 0; i < 2; ++i) {
      auto& lane = lanes.at(static_cast<std::size_t>(i));
      lane.worker =
          std::make_unique<net::Worker>(i, net::WorkerConfig{}, clock, requests, std::make_unique<net::SendmsgBatch>());
      lane.shard = std::make_unique<Shard>(node, *lane.worker);
      node.shards.push_back(lane.shard.get());
    }
    for (Lane& lane : lanes) lane.thread = std::thread([&lane] { lane.worker->run(); });
  }
  ~TwoWorkers() {
    for (Lane& lane : lanes) lane.worker->stop();
    for (Lane& lane : lanes) lane.thread.join();
    for (Lane& lane : lanes) lane.worker->discard_mail();
    for (Lane& lane : lanes) lane.shard.reset();
  }

  Shard& shard(int worker) { return *lanes.at(static_cast<std::size_t>(worker)).shard; }
  void in_loop(int worker, const std::function<void()>& call) {
    std::promise<void> done;
    shard(worker).worker().post(std::make_unique<Call>([&] {
      call();
      done.set_value();
    }));
    done.get_future().wait();
  }

  std::string token(std::string_view subject = "alice") {
    return auth::mint(kSecret, R"({"role":"authenticated","exp":)" + std::to_string(clock.unix_seconds() + 3600) +
                                   R"(,"sub":")" + std::string(subject) + "\"}");
  }
  // A session on that worker.
  Client connect(int worker, Version version = Version::kV2) {
    Client client{worker, {}};
    in_loop(worker, [&] {
      const auto tenant = tenants.of_host("acme");
      const auto verified = shard(worker).verify(tenant->record(worker), token());
      REQUIRE(verified);
      const auto opened =
          shard(worker).long_polls().open({.form = {.version = version}, .tenant = tenant, .token = *verified},
                                          [&client](const http::Response& answer) {
                                            client.session = *json::Value(answer.body).member("token")->string();
                                          });
      REQUIRE(opened);
    });
    return client;
  }
  void say(const Client& client, std::string frame) {
    std::promise<void> done;
    shard(client.worker).worker().post(std::make_unique<Call>([&] {
      http::Request request{.method = "POST", .headers = {{"content-type", "application/json"}}};
      request.body = std::move(frame);
      shard(client.worker)
          .long_polls()
          .post(client.session, tenants.known("acme").get(), PostedFrames(std::move(request)),
                [&done](const http::Response&) { done.set_value(); });
    }));
    done.get_future().wait();
  }
  // What the client was told since it was asked last.
  Frames told(const Client& client) {
    const auto body = std::make_shared<std::string>();
    in_loop(client.worker, [&] {
      LongPolls::Answer answer = [body](const http::Response& response) { *body = response.body; };
      CHECK(shard(client.worker).long_polls().poll(client.session, tenants.known("acme").get(), {}, answer));
    });
    in_loop(client.worker, [] {});  // behind the mail that answers polls
    Frames out;
    if (body->empty()) return out;
    json::Elements messages(*json::Value(*body).member("messages"));
    while (const auto message = messages.next()) out.push_back(*message->string());
    return out;
  }
  // A client whose channel has joined and subscribed, and was told nothing yet.
  std::pair<Client, ChangesId> subscribed(int worker, const std::string& topic = "realtime:a",
                                          Version version = Version::kV2) {
    const Client client = connect(worker, version);
    say(client,
        version == Version::kV2
            ? R"(["1","1",")" + topic + R"(","phx_join",{"config":{"postgres_changes":[{"table":"t"}]}}])"
            : R"({"topic":")" + topic +
                  R"(","event":"phx_join","payload":{"config":{"postgres_changes":[{"table":"t"}]}},"ref":"1"})");
    CHECK(told(client).size() == 1);
    const std::lock_guard lock(mutex);
    return {client, questions.back().id};
  }
  void publish(std::vector<ChangeMessage> messages) {
    publish_changes(node, {.tenant = "acme", .messages = std::move(messages)});
  }
  std::uint64_t counted(Counter ShardCounters::* counter) {
    std::uint64_t sum = 0;
    for (Lane& lane : lanes) sum += (lane.shard->counters().*counter).value();
    return sum;
  }

  struct Lane {
    std::unique_ptr<net::Worker> worker;
    std::unique_ptr<Shard> shard;
    std::thread thread;
  };
  ManualClock clock;
  NoLog log;
  NoRequests requests;
  SystemRandom random;
  std::mutex mutex;
  std::vector<ChangesQuestion> questions;
  std::vector<ChangesId> ended;
  LiveTenants tenants{[](std::string_view name) {
                        return std::make_shared<const TenantRecord>(
                            TenantRecord{.external_id = std::string(name), .jwt_secret = std::string(kSecret)});
                      },
                      "", 2, clock};
  Node node{NodeConfig{}, HashKey{1, 2}, tenants, log, random};
  std::array<Lane, 2> lanes;
};

ChangeMessage change(std::vector<ChangesId> to, const std::string& data = "1") {
  return {.topic = "realtime:a",
          .event = "postgres_changes",
          .payload = R"({"ids":[7],"data":)" + data + "}",
          .to = std::move(to)};
}
std::string frame_of(const std::string& data) {
  return R"([null,null,"realtime:a","postgres_changes",{"ids":[7],"data":)" + data + "}]";
}

TEST_CASE("what a channel subscribes to is asked of the database behind its join reply, until it ends") {
  TwoWorkers two;
  const Client client = two.connect(1);
  two.say(client, R"(["1","1","realtime:a","phx_join",{"config":{"postgres_changes":[{"table":"t"},{"table":"u"}]}}])");
  REQUIRE(two.questions.size() == 1);
  const ChangesQuestion& question = two.questions[0];
  CHECK(question.id.worker == 1);
  CHECK(question.id.number > 0);
  CHECK(question.topic == "realtime:a");
  CHECK(question.entries.size() == 2);
  CHECK(question.token->claims.subject == "alice");
  tell_changes(two.node, question.id, {kOk, "Subscribed to PostgreSQL"});
  const Frames told = two.told(client);
  REQUIRE(told.size() == 2);
  CHECK(told[0].starts_with(R"(["1","1","realtime:a","phx_reply")"));
  CHECK(told[1] == R"(["1",null,"realtime:a","system",{"extension":"postgres_changes","status":"ok",)"
                   R"("message":"Subscribed to PostgreSQL","channel":"a"}])");
  two.say(client, R"(["1","2","realtime:a","phx_leave",{}])");
  CHECK(two.ended == std::vector<ChangesId>{question.id});
}

TEST_CASE("a new token goes to the database under the same id, and is not the one that sessions share on a worker") {
  TwoWorkers two;
  const auto [client, id] = two.subscribed(0);
  const auto refresh = [&, &subscriber = client](const std::string& token) {
    two.say(subscriber, R"(["1","2","realtime:a","access_token",{"access_token":")" + token + R"("}])");
  };
  refresh(two.token());
  CHECK(two.questions.size() == 1);
  refresh(two.token("bob"));
  REQUIRE(two.questions.size() == 2);
  CHECK(two.questions[1].id == id);
  CHECK(two.questions[1].token->claims.subject == "bob");
  CHECK(two.questions[1].token.use_count() == 1);
}

TEST_CASE("where no tenant has a database a channel is told so at once, behind its join reply [P-122]") {
  TwoWorkers two(TwoWorkers::Databases::kHasNone);
  const Client client = two.connect(0, Version::kV1);
  two.say(client, R"({"topic":"realtime:room1","event":"phx_join","payload":{},"ref":"1"})");
  const Frames told = two.told(client);
  REQUIRE(told.size() == 2);
  CHECK(told[0].find("phx_reply") != std::string::npos);
  CHECK(told[1] == R"({"topic":"realtime:room1","event":"system","payload":{"extension":"postgres_changes",)"
                   R"("status":"error","message":"Unable to subscribe to changes: this project has no database",)"
                   R"("channel":"room1"},"ref":null})");
}

TEST_CASE(
    "a change reaches the channels that it names, on every worker and in each version's form, and no other [PC-100]") {
  TwoWorkers two;
  const auto [one, one_id] = two.subscribed(0);
  const auto [other, other_id] = two.subscribed(1, "realtime:a", Version::kV1);
  const auto [bystander, bystander_id] = two.subscribed(1);
  two.publish({change({one_id, other_id}, R"({"n": 1.10})")});
  CHECK(two.told(one) == Frames{R"([null,null,"realtime:a","postgres_changes",{"ids":[7],"data":{"n": 1.10}}])"});
  CHECK(two.told(other) == Frames{R"({"topic":"realtime:a","event":"postgres_changes","payload":{"ids":[7],)"
                                  R"("data":{"n": 1.10}},"ref":null})"});
  CHECK(two.told(bystander).empty());
}

TEST_CASE("a channel of the old API is told the change as an event of its type [PC-025] [P-201]") {
  TwoWorkers two;
  const auto [client, id] = two.subscribed(0, "realtime:public:todos", Version::kV1);
  two.publish({{.topic = "realtime:public:todos",
                .event = "INSERT",
                .payload = R"({"type":"INSERT","record":{"id": 5}})",
                .to = {id}}});
  CHECK(two.told(client) == Frames{R"({"topic":"realtime:public:todos","event":"INSERT","payload":{"type":"INSERT",)"
                                   R"("record":{"id": 5}},"ref":null})"});
}

TEST_CASE("notices and changes come in the order in which they were said, however many there are") {
  TwoWorkers two;
  const auto [one, one_id] = two.subscribed(0);
  const auto [other, other_id] = two.subscribed(1);
  Frames expected;
  for (int batch = 0; batch < 5; ++batch) {
    std::vector<ChangeMessage> messages;
    tell_changes(two.node, one_id, {kOk, "notice " + std::to_string(batch)});
    expected.push_back(
        R"(["1",null,"realtime:a","system",{"extension":"postgres_changes","status":"ok","message":"notice )" +
        std::to_string(batch) + R"(","channel":"a"}])");
    for (int n = 0; n < 300; ++n) {
      const std::string data = std::to_string(batch * 1000 + n);
      messages.push_back(change(n % 3 == 0 ? std::vector{one_id} : std::vector{other_id, one_id}, data));
      expected.push_back(frame_of(data));
    }
    two.publish(std::move(messages));
  }
  CHECK(two.told(one) == expected);
  CHECK(two.told(other).size() == 1000);
}

TEST_CASE("a channel that has left, and one that joined again, hear nothing of what was meant for it [PC-107]") {
  TwoWorkers two;
  const auto [client, id] = two.subscribed(0);
  two.say(client, R"(["2","2","realtime:a","phx_join",{"config":{"postgres_changes":[{"table":"t"}]}}])");
  CHECK(two.told(client).size() == 2);
  tell_changes(two.node, id, {kOk, "late"});
  two.publish({change({id}, "\"late\""), change({two.questions.back().id}, "\"in time\"")});
  CHECK(two.told(client) == Frames{frame_of("\"in time\"")});
  two.say(client, R"(["2","3","realtime:a","phx_leave",{}])");
  CHECK(two.told(client).size() == 2);
  two.publish({change({two.questions.back().id})});
  CHECK(two.told(client).empty());
  CHECK(two.counted(&ShardCounters::change_deliveries) == 1);
}

TEST_CASE("a tenant that was made anew under its name tells nothing to who was connected before") {
  TwoWorkers two;
  const auto [client, id] = two.subscribed(0);
  two.tenants.to_change("acme", LiveTenants::Presence::kIsGone);
  two.publish({change({id})});
  CHECK(two.tenants.of_host("acme") != nullptr);
  two.publish({change({id})});
  two.in_loop(0, [] {});
  CHECK(two.shard(0).long_polls().queue_bytes() == 0);
  CHECK(two.counted(&ShardCounters::change_deliveries) == 0);
}

TEST_CASE("each delivery counts at the rate of changes, once for each subscription, and at no other [PC-106]") {
  TwoWorkers two;
  const auto [one, one_id] = two.subscribed(0);
  const auto [other, other_id] = two.subscribed(1);
  ChangeMessage twice = change({one_id, other_id});
  twice.subscriptions = 2;
  two.publish({std::move(twice), change({one_id})});
  CHECK(two.told(one).size() == 2);
  CHECK(two.told(other).size() == 1);
  const auto tenant = two.tenants.known("acme");
  CHECK(tenant->changes.total() == 5);
  CHECK(tenant->events.total() == 0);
  CHECK(two.counted(&ShardCounters::change_events) == 5);
  CHECK(two.counted(&ShardCounters::deliveries) == 0);
}

TEST_CASE("a tenant whose changes have reached their limit is known by that, and another limit begins anew [PC-106]") {
  OneWorker one;
  CHECK(!changes_are_over_limit(one.node, "acme"));
  const auto tenant = one.tenants.of_host("acme");
  const ShardCounters& counters = one.shard.counters();
  one.worker.post(std::make_unique<Call>([&] {
    one.shard.count(tenant, kChangeRate, 100'000);
    one.clock.advance(std::chrono::seconds(5));
    one.worker.wheel().advance(one.clock.now());
    CHECK(changes_are_over_limit(one.node, "acme"));
    CHECK(!events_are_over_limit(one.node, "acme"));
    CHECK(counters.change_limit_triggers.value() == 1);
    CHECK(counters.tenants_over_change_rate.value() == 1);
    one.shard.change(tenant, {.event_rate = true});
    CHECK(!changes_are_over_limit(one.node, "acme"));
    CHECK(counters.tenants_over_change_rate.value() == 0);
    one.worker.stop();
  }));
  one.worker.run();
}

class Lines final : public Log {
 public:
  bool enabled(LogLevel level) const override { return level >= LogLevel::kInfo; }
  void write(LogLevel, const LogFields& fields, std::string_view message) override {
    lines.push_back(std::string(fields.tenant) + " " + std::string(fields.measurements) + " " + std::string(message));
  }
  std::uint64_t dropped() const override { return 0; }
  void reopen() override {}
  std::vector<std::string> lines;
};

TEST_CASE(
    "what a tenant is told of rows is in the log every five seconds, for who bills it, and nothing while it is told "
    "nothing [M-027]") {
  for (const bool logs_usage : {true, false}) {
    Lines log;
    OneWorker one({.logs_usage = logs_usage}, log);
    const auto tenant = one.tenants.of_host("acme");
    one.worker.post(std::make_unique<Call>([&] {
      for (const std::uint64_t told : {30, 0, 12}) {
        if (told > 0) one.shard.count(tenant, kChangeRate, told);
        one.shard.count(tenant, kRequestRate, 1);  // is not billed
        one.clock.advance(std::chrono::seconds(5));
        one.worker.wheel().advance(one.clock.now());
      }
      one.worker.stop();
    }));
    one.worker.run();
    const std::vector<std::string> expected = {
        R"(acme {"limit":100,"sum":30} Billing metrics: [:realtime, :rate_counter, :channel, :db_events])",
        R"(acme {"limit":100,"sum":12} Billing metrics: [:realtime, :rate_counter, :channel, :db_events])"};
    CHECK(log.lines == (logs_usage ? expected : std::vector<std::string>{}));
  }
}

TEST_CASE("the size of each message is recorded once, whoever gets it") {
  TwoWorkers two;
  const auto [one, one_id] = two.subscribed(0);
  const auto [other, other_id] = two.subscribed(1);
  two.publish({change({one_id, other_id}, "\"" + std::string(600, 'x') + "\""), change({other_id})});
  CHECK(two.told(one).size() == 1);
  CHECK(two.told(other).size() == 2);
  HistogramCounts node;
  for (int i = 0; i < 2; ++i) two.shard(i).counters().changes.add_to(node);
  HistogramCounts tenant;
  two.tenants.known("acme")->for_each_usage([&](const TenantUsage& usage) { usage.changes.add_to(tenant); });
  for (const HistogramCounts& counts : {node, tenant}) {
    CHECK(counts.total() == 2);
    CHECK(counts.counts[0] == 1);  // up to 250 bytes
    CHECK(counts.counts[2] == 1);  // up to 1000
  }
}

TEST_CASE("a receipt is held until the last channel was told, and let go of where there is none") {
  TwoWorkers two;
  const auto [one, one_id] = two.subscribed(0);
  const auto [other, other_id] = two.subscribed(1);
  auto receipt = std::make_shared<const int>(0);
  const std::weak_ptr<const int> is_held = receipt;
  ChangeMessage message = change({one_id, other_id});
  message.receipt = std::move(receipt);
  two.publish({std::move(message)});
  CHECK(two.told(one).size() == 1);
  CHECK(!is_held.expired());
  CHECK(two.told(other).size() == 1);
  CHECK(is_held.expired());

  ChangeMessage nobodys = change({});
  receipt = std::make_shared<const int>(0);
  const std::weak_ptr<const int> is_dropped = receipt;
  nobodys.receipt = std::move(receipt);
  two.publish({std::move(nobodys)});
  CHECK(is_dropped.expired());
}

TEST_CASE("what is on its way to a worker counts as memory there, so that a feed waits for it") {
  OneWorker one;
  one.tenants.of_host("acme");
  std::vector<ChangeMessage> messages;
  for (int n = 0; n < 17; ++n)
    messages.push_back(change({{.worker = 0, .number = 1}}, "\"" + std::string(1024 * 1024, 'x') + "\""));
  publish_changes(one.node, {.tenant = "acme", .messages = std::move(messages)});
  CHECK(one.worker.mailbox_bytes() > std::size_t{17} * 1024 * 1024);
  CHECK(!may_publish(one.node));
}

}  // namespace
}  // namespace rt::realtime
