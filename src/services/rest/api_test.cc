#include "services/rest/api.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "services/rest/batch.h"

namespace rt::rest {
namespace {

// One tenant, `acme`, whose only good token is `good`.
struct Node {
  struct Acme final : Tenant {
    explicit Acme(Node& owner) : node(owner) {}
    const TenantRecord& record() const override { return node.record; }
    Result<TokenRef, TokenFault> verify(std::string_view token) override {
      if (token == "good") return std::make_shared<const Token>();
      return tl::make_unexpected(
          TokenFault{.kind = token == "kid" ? TokenFaultKind::kNoKeyForKid : TokenFaultKind::kExpired, .kid = "k1"});
    }
    void count_request() override { ++node.requests; }
    double requests_per_second() override { return node.request_rate; }
    double events_per_second() override { return node.event_rate; }
    void log_error(std::string_view code, std::string_view text) override {
      node.log += std::string(code) + ": " + std::string(text) + "\n";
    }
    void ask_rights(RightsQuestion question, std::function<void(const RightsAnswer&)> answer) override {
      node.asked.push_back(question.topic);
      answer(node.rights(question));
    }
    Room take_room(std::size_t bytes) override {
      if (node.room == Room::kThere) node.held += bytes;
      return node.room;
    }
    void give_room_back(std::size_t bytes) override { node.held -= bytes; }
    void publish(Message message) override { node.published.push_back(std::move(message)); }
    Node& node;
  };

  http::Response ask(const http::Request& request) {
    http::Response response{.status = 404};
    answer(
        request,
        [this](std::string_view host) -> std::shared_ptr<Tenant> {
          return host == "acme.test" ? std::make_shared<Acme>(*this) : nullptr;
        },
        [&response](http::Response given) { response = std::move(given); });
    return response;
  }
  http::Response post(std::string target, std::string body, std::string type = "application/json",
                      std::vector<http::Header> extra = {}) {
    http::Request request{.method = "POST", .target = std::move(target), .body = std::move(body)};
    request.headers = {{"host", "acme.test"}, {"apikey", "good"}};
    if (!type.empty()) request.headers.push_back({"content-type", std::move(type)});
    for (http::Header& header : extra) {
      std::erase_if(request.headers, [&](const http::Header& other) { return other.name == header.name; });
      if (!header.value.empty()) request.headers.push_back(std::move(header));
    }
    return ask(request);
  }
  http::Response batch(const std::string& messages) {
    return post("/api/broadcast", "{\"messages\":" + messages + "}");
  }

  TenantRecord record{.external_id = "acme"};
  double request_rate = 0;
  double event_rate = 0;
  int requests = 0;
  std::string log;
  std::vector<Message> published;
  std::vector<std::string> asked;
  Room room = Room::kThere;
  std::size_t held = 0;  // bytes
  std::function<RightsAnswer(const RightsQuestion&)> rights = [](const RightsQuestion&) {
    return tl::make_unexpected(RightsFault{RightsFaultKind::kUnavailable, "there is no database"});
  };
};

std::string header(const http::Response& response, std::string_view name) {
  const auto found = std::ranges::find(response.headers, name, &http::Header::name);
  return found == response.headers.end() ? "" : found->value;
}

constexpr const char* kGood = R"([{"topic":"a","event":"e","payload":{}}])";

TEST_CASE("requests for other paths and with other methods are not ours [H-002]") {
  Node node;
  const auto status = [&](const char* method, const char* target) {
    return node.ask({.method = method, .target = target, .headers = {{"host", "acme.test"}}}).status;
  };
  for (const char* path :
       {"/api", "/api/ping/x", "/api/broadcast/x", "/api/broadcast/x/events", "/api/broadcast//events/e",
        "/api/broadcast/a/b/events/e", "/api/broadcast/a/events/e/f", "/api/broadcasts"}) {
    CAPTURE(path);
    CHECK(status("POST", path) == 404);
  }
  CHECK(status("GET", "/api/broadcast") == 404);
  CHECK(status("POST", "/api/ping") == 404);
  CHECK(status("GET", "/api/ping") == 200);
  CHECK(status("HEAD", "/api/ping/") == 200);
  CHECK(status("GET", "/realtime/v1/api/ping") == 200);
}

TEST_CASE("a ping tells that the tenant is there, and its rate [H-021] [H-023] [H-024]") {
  Node node;
  node.record.limits.events_per_second_max = 100;
  node.request_rate = 7.9;
  const http::Request ping{.method = "GET", .target = "/api/ping", .headers = {{"host", "acme.test"}}};
  const auto response = node.ask(ping);
  CHECK(response.status == 200);
  CHECK(response.body == R"({"message":"Success"})");
  CHECK(header(response, "x-rate-rolling") == "7");
  CHECK(header(response, "x-rate-limit") == "100");
  CHECK(header(response, "x-rate-limit-remaining") == "93");
  CHECK(node.requests == 1);
  CHECK(node.ask({.method = "GET", .target = "/api/ping", .headers = {{"host", "b.test"}}}).body ==
        R"({"message":"Tenant not found in database"})");
  node.request_rate = 100;
  CHECK(node.ask(ping).status == 429);
  CHECK(node.ask(ping).body == R"({"message":"Too many requests"})");
  node.record.limits.events_per_second_max = 0;
  node.request_rate = 0;
  CHECK(node.ask(ping).status == 429);
  CHECK(header(node.ask(ping), "x-rate-limit") == "0");
}

TEST_CASE("the first step that fails decides [H-008] [H-010] [H-026] [H-042]") {
  Node node;
  const std::vector<http::Header> html = {{"accept", "text/html"}};
  CHECK(node.post("/api/broadcast", "{}", "application/json", html).status == 406);
  CHECK(node.post("/api/broadcast", "{", "application/json", html).status == 400);
  CHECK(node.post("/api/broadcast", "{").status == 400);
  CHECK(node.post("/api/broadcast", "{}", "text/plain").status == 415);
  CHECK(node.post("/api/broadcast/a/events/e", "{}", "text/plain", {{"host", "b.test"}}).status == 415);
  CHECK(node.post("/api/broadcast", "{}", "application/json", {{"host", "b.test"}}).status == 401);
  node.request_rate = 100;
  CHECK(node.post("/api/broadcast", "{}", "application/json", {{"apikey", "bad"}}).status == 429);
  node.request_rate = 0;
  node.record.suspended = true;
  CHECK(node.post("/api/broadcast", "{}", "application/json", {{"apikey", "bad"}}).status == 401);
  CHECK(node.post("/api/broadcast", "{}").status == 403);
  CHECK(node.post("/api/broadcast/%20/events/e", "{}").body == R"({"message":"Tenant is suspended"})");
}

TEST_CASE(
    "a token is taken from either header, the scheme in any case, and nothing else is a credential [H-027] [H-028] "
    "[H-030]") {
  Node node;
  const auto status = [&](std::vector<http::Header> headers) {
    headers.push_back({"apikey", ""});
    std::ranges::rotate(headers, headers.end() - 1);
    return node.post("/api/broadcast", std::string("{\"messages\":") + kGood + "}", "application/json", headers).status;
  };
  CHECK(status({{"authorization", "Bearer good"}}) == 202);
  CHECK(status({{"authorization", "bEARER good"}}) == 202);
  CHECK(status({{"authorization", "Basic x"}, {"apikey", "good"}}) == 202);
  CHECK(status({{"authorization", "Bearer bad"}, {"apikey", "good"}}) == 401);
  CHECK(status({{"authorization", "good"}}) == 401);
  CHECK(status({{"authorization", "Bearer  good"}}) == 401);
  CHECK(status({{"x-api-key", "good"}}) == 401);
  CHECK(status({}) == 401);
  CHECK(node.log.empty());
  CHECK(status({{"authorization", "Bearer kid"}}) == 401);
  CHECK(node.log.find("JwtSignerError: ") == 0);
  CHECK(node.log.find("\"k1\"") != std::string::npos);
}

TEST_CASE("browsers may send from other origins, also when they are refused [H-033] [H-034]") {
  Node node;
  const std::vector<http::Header> origin = {{"origin", "https://a.test"}};
  CHECK(header(node.post("/api/broadcast", "{", "application/json", origin), "access-control-allow-origin") == "*");
  CHECK(header(node.post("/api/broadcast", "{}"), "access-control-allow-origin").empty());
  const auto preflight =
      node.ask({.method = "OPTIONS",
                .target = "/api/broadcast/a/events/e",
                .headers = {{"host", "acme.test"}, {"access-control-request-headers", "apikey, x-a"}}});
  CHECK(preflight.status == 204);
  CHECK(header(preflight, "access-control-allow-origin") == "*");
  CHECK(header(preflight, "access-control-allow-methods").find("POST") != std::string::npos);
  CHECK(header(preflight, "access-control-allow-headers") == "apikey, x-a");
}

TEST_CASE("each message of a batch is published once, with its id where it has one [H-037]") {
  Node node;
  const auto response = node.batch(
      R"([{"topic":"a","event":"e","payload":{"x": 1.50}},{"event":"é\"","id":"7","private":"0","topic":"b:c","payload":{}}])");
  CHECK(response.status == 202);
  CHECK(response.body.empty());
  REQUIRE(node.published.size() == 2);
  CHECK(node.published[0].topic == "realtime:a");
  CHECK(node.published[0].kind == MessageKind::kJson);
  CHECK(node.published[0].payload == R"({"event":"e","payload":{"x": 1.50},"type":"broadcast"})");
  CHECK(node.published[1].topic == "realtime:b:c");
  CHECK(node.published[1].payload == R"({"event":"é\"","payload":{},"type":"broadcast","meta":{"id":"7"}})");
}

TEST_CASE("private messages of a batch go nowhere while there is nobody to ask, the others do [H-047]") {
  Node node;
  CHECK(node.batch(R"([{"topic":"a","event":"e","payload":{},"private":true},{"topic":"a","event":"f","payload":{}},
                       {"topic":"a","event":"e","payload":{},"private":"1"}])")
            .status == 202);
  REQUIRE(node.published.size() == 1);
  CHECK(node.published[0].privacy == Privacy::kPublic);
  CHECK(node.published[0].payload.find("\"f\"") != std::string::npos);
}

TEST_CASE(
    "one bad message refuses the whole batch, and each is told what is wrong with it [H-038] [H-039] [H-040] [H-041] "
    "[H-049]") {
  Node node;
  node.record.limits.payload_kb_max = 1;
  const auto errors = [&](const std::string& messages) {
    const auto response = node.batch(messages);
    CHECK(response.status == 422);
    return response.body;
  };
  CHECK(errors(R"([{"topic":"a","event":"e","payload":{}},{"topic":" ","event":1,"payload":[]},{}])") ==
        R"({"errors":{"messages":[{},{"topic":["can't be blank"],"event":["is invalid"],"payload":["is invalid"]},)"
        R"({"topic":["can't be blank"],"event":["can't be blank"],"payload":["can't be blank"]}]}})");
  CHECK(errors(R"([{"topic":"a","event":"e","payload":{},"private":1,"id":2}])") ==
        R"({"errors":{"messages":[{"private":["is invalid"],"id":["is invalid"]}]}})");
  CHECK(errors(R"([{"topic":"a","event":"e","payload":{"x":")" + std::string(1'500, 'x') + R"("}}])") ==
        R"({"errors":{"messages":[{"payload":["Payload size exceeds tenant limit"]}]}})");
  for (const char* blank : {"null", "[]"}) CHECK(errors(blank) == R"({"errors":{"messages":["can't be blank"]}})");
  for (const char* invalid : {"{}", "1", "\"x\"", "[1]"})
    CHECK(errors(invalid) == R"({"errors":{"messages":["is invalid"]}})");
  CHECK(node.post("/api/broadcast", "").body == R"({"errors":{"messages":["can't be blank"]}})");
  CHECK(node.post("/api/broadcast", std::string("{\"messages\":") + kGood + "}", "").status == 422);
  CHECK(node.post("/api/broadcast", "[1]").status == 422);
  CHECK(node.published.empty());
}

TEST_CASE("what nests too deeply, or is too long as text, is refused however small it measures") {
  Node node;
  const std::string deep = std::string(512, '[') + std::string(512, ']');
  CHECK(node.post("/api/broadcast/a/events/e", deep).status == 400);
  const std::string spaces(5'000'000, ' ');
  CHECK(node.post("/api/broadcast/a/events/e", "{\"a\":" + spaces + "1}").status == 422);
  CHECK(node.batch(R"([{"topic":"a","event":"e","payload":{"a":)" + spaces + "1}}]").status == 422);
  CHECK(node.batch(R"([{"topic":"a","event":")" + std::string(5'000'000, 'e') + R"(","payload":{}}])").status == 422);
  CHECK(node.published.empty());
}

TEST_CASE("a batch has a bounded number of messages") {
  Node node;
  std::string messages = "[{}";
  for (std::size_t i = 1; i < kBatchMessagesMax; ++i) messages += ",{}";
  CHECK(node.batch(messages + "]").body.find("can't be blank") != std::string::npos);
  CHECK(node.batch(messages + ",{}]").body == R"({"errors":{"messages":["must have at most 10000 messages"]}})");
}

TEST_CASE("a tenant above its rate of events sends no batch, and a batch must fit below it [H-043]") {
  Node node;
  node.record.limits.events_per_second_max = 2;
  node.event_rate = 1;
  CHECK(node.batch(kGood).status == 202);
  node.event_rate = 1.5;
  CHECK(node.batch(kGood).body == R"({"message":"Too many messages to broadcast, please reduce the batch size"})");
  node.event_rate = 2.1;
  CHECK(node.batch(kGood).body == R"({"message":"You have exceeded your rate limit"})");
  CHECK(node.batch("[]").status == 422);
  CHECK(node.published.size() == 1);
}

TEST_CASE("a single broadcast carries its body as it came [H-052] [H-054] [H-060]") {
  Node node;
  CHECK(node.post("/api/broadcast/a%3Ab/events/x%20y", R"( {"_binary": "1.50"} )", "application/json; charset=utf-8")
            .status == 202);
  CHECK(node.post("/api/broadcast/a/events/e", std::string("\0\xff", 2), "application/octet-stream").status == 202);
  CHECK(node.post("/api/broadcast/a/events/e", "", "application/octet-stream").status == 202);
  CHECK(node.post("/api/broadcast/a/events/e", "[1]").status == 202);
  CHECK(node.post("/api/broadcast/a/events/e", "").status == 202);
  CHECK(node.post("/api/broadcast/a/events/e?private=1", "not looked at", "").status == 202);
  CHECK(node.post("/api/broadcast/a/events/" + std::string(300, 'e'), "{}").status == 202);
  REQUIRE(node.published.size() == 7);
  CHECK(node.published[0].topic == "realtime:a:b");
  CHECK(node.published[0].event == "x y");
  CHECK(node.published[0].payload == R"({"_binary": "1.50"})");
  CHECK(node.published[0].kind == MessageKind::kUserJson);
  CHECK(node.published[1].payload == std::string("\0\xff", 2));
  CHECK(node.published[1].kind == MessageKind::kUserBinary);
  CHECK(node.published[2].payload.empty());
  CHECK(node.published[3].payload == R"({"_json":[1]})");
  CHECK(node.published[4].payload == "{}");
  CHECK(node.published[5].payload == "{}");
}

TEST_CASE("a single broadcast that cannot be sent says why [H-053] [H-057] [H-058] [H-059]") {
  Node node;
  node.record.limits.payload_kb_max = 1;
  const auto post = [&](const std::string& target, std::string body = "{}", std::string type = "application/json") {
    return node.post(target, std::move(body), std::move(type));
  };
  CHECK(post("/api/broadcast/a/events/e", "{}", "application/ld+json").body ==
        R"({"error":"Unsupported Media Type. Use application/json or application/octet-stream"})");
  CHECK(post("/api/broadcast/%20/events/e").body == R"({"errors":{"topic":["can't be blank"]}})");
  CHECK(post("/api/broadcast/a/events/%20").body == R"({"errors":{"event":["can't be blank"]}})");
  for (const char* broken : {"%zz", "%ff", "%ed%a0%80"}) {  // no sequence, no UTF-8
    CHECK(post(std::string("/api/broadcast/a/events/") + broken).status == 400);
    CHECK(post(std::string("/api/broadcast/") + broken + "/events/e").status == 400);
  }
  const auto large = R"({"errors":{"payload":["Payload size exceeds tenant limit"]}})";
  CHECK(post("/api/broadcast/a/events/e", "{\"x\":\"" + std::string(1'500, 'x') + "\"}").body == large);
  CHECK(post("/api/broadcast/a/events/e", std::string(1'495, 'x'), "application/octet-stream").body == large);
  CHECK(post("/api/broadcast/a/events/e", std::string(1'494, 'x'), "application/octet-stream").status == 202);
  CHECK(post("/api/broadcast/a/events/e?private=true").body == R"({"message":"Tenant database unavailable"})");
  CHECK(post("/api/broadcast/a/events/e?private=true&private=no").status == 202);
  node.event_rate = static_cast<double>(node.record.limits.events_per_second_max);
  CHECK(post("/api/broadcast/a/events/e").body == R"({"message":"You have exceeded your rate limit"})");
  CHECK(post("/api/broadcast/a/events/e?private=true").status == 429);
  CHECK(node.published.size() == 2);
}

TEST_CASE(
    "a private broadcast goes where its sender may write, on the private topic only [H-044] [H-045] [H-047] [H-056]") {
  Node node;
  node.rights = [](const RightsQuestion& question) {
    CHECK(question.asked == AskedRights{.broadcast_write = true});
    CHECK(question.headers->find(R"("x-tier":"gold")") != std::string::npos);
    return RightsAnswer(Rights{.broadcast_write = question.topic == "mine"});
  };
  const auto send = [&](const char* target) {
    return node.post(target, "{}", "application/json", {{"x-tier", "gold"}});
  };
  CHECK(send("/api/broadcast/mine/events/e?private=true").status == 202);
  REQUIRE(node.published.size() == 1);
  CHECK(node.published[0].privacy == Privacy::kPrivate);
  CHECK(node.published[0].topic == "realtime:mine");
  const auto denied = send("/api/broadcast/yours/events/e?private=true");
  CHECK(denied.status == 403);
  CHECK(denied.body == R"({"message":"Unauthorized"})");
  CHECK(header(denied, "x-rate-limit") == "100");
  CHECK(node.published.size() == 1);

  node.published.clear();
  node.asked.clear();
  const auto batch = node.post("/api/broadcast",
                               R"({"messages":[{"topic":"mine","event":"1","payload":{},"private":true},)"
                               R"({"topic":"yours","event":"2","payload":{},"private":true},)"
                               R"({"topic":"mine","event":"3","payload":{}},)"
                               R"({"topic":"mine","event":"4","payload":{},"private":true}]})",
                               "application/json", {{"x-tier", "gold"}});
  CHECK(batch.status == 202);
  CHECK(node.asked == std::vector<std::string>{"mine", "yours"});
  REQUIRE(node.published.size() == 3);
  CHECK(node.published[0].privacy == Privacy::kPublic);
  CHECK(node.published[1].payload.find(R"("event":"1")") != std::string::npos);
  CHECK(node.published[1].privacy == Privacy::kPrivate);
  CHECK(node.published[2].payload.find(R"("event":"4")") != std::string::npos);
}

TEST_CASE("each failure of a private broadcast has its status and text [H-057]") {
  using Kind = RightsFaultKind;
  const std::tuple<Kind, int, const char*> faults[] = {
      {Kind::kPolicy, 422, "RLS policy error"},
      {Kind::kCancelled, 422, "Query canceled"},
      {Kind::kMissingPartition, 422, "Missing messages partition"},
      {Kind::kPoolExhausted, 429, "Connection pool exhausted"},
      {Kind::kUnavailable, 422, "Tenant database unavailable"},
      {Kind::kInitializing, 422, "Tenant database initializing"},
      {Kind::kNoSlots, 422, "Tenant database has too many connections"},
      {Kind::kTooManyAttempts, 422, "Connect rate limit reached"},
      {Kind::kOther, 500, "Unable to authorize broadcast"}};
  for (const auto& [fault, status, text] : faults) {
    Node node;
    node.rights = [kind = fault](const RightsQuestion&) { return tl::make_unexpected(RightsFault{kind, "why"}); };
    const auto response = node.post("/api/broadcast/t/events/e?private=true", "{}");
    CHECK(response.status == status);
    CHECK(response.body == "{\"message\":\"" + std::string(text) + "\"}");
    CHECK(node.log.find("why") != std::string::npos);
    CHECK(node.published.empty());
  }
}

TEST_CASE("an answer that comes later is given then, whatever has become of the request") {
  Node node;
  std::vector<std::function<void(const RightsAnswer&)>> open;
  struct Slow final : Tenant {
    Slow(Node& owner, std::vector<std::function<void(const RightsAnswer&)>>& waiting) : inner(owner), open(waiting) {}
    const TenantRecord& record() const override { return inner.record(); }
    Result<TokenRef, TokenFault> verify(std::string_view token) override { return inner.verify(token); }
    void count_request() override {}
    double requests_per_second() override { return 0; }
    double events_per_second() override { return 0; }
    void log_error(std::string_view, std::string_view) override {}
    void ask_rights(RightsQuestion, std::function<void(const RightsAnswer&)> answer) override {
      open.push_back(std::move(answer));
    }
    Room take_room(std::size_t bytes) override { return inner.take_room(bytes); }
    void give_room_back(std::size_t bytes) override { inner.give_room_back(bytes); }
    void publish(Message message) override { inner.publish(std::move(message)); }
    Node::Acme inner;
    std::vector<std::function<void(const RightsAnswer&)>>& open;
  };
  std::vector<int> statuses;
  {
    http::Request request{.method = "POST", .target = "/api/broadcast"};
    request.headers = {{"host", "acme.test"}, {"apikey", "good"}, {"content-type", "application/json"}};
    std::string messages;
    for (int i = 0; i < 100; ++i)
      messages += (i == 0 ? "" : ",") + std::string(R"({"topic":"t)") + std::to_string(i) +
                  R"(","event":"e","payload":{},"private":true})";
    request.body = "{\"messages\":[" + messages + "]}";
    CHECK(answer(
        request, [&](std::string_view) { return std::make_shared<Slow>(node, open); },
        [&statuses](const http::Response& response) { statuses.push_back(response.status); }));
  }
  CHECK(node.held > 100 * std::string_view(R"({"event":"e","payload":{},"type":"broadcast"})").size());
  CHECK(open.size() == 64);  // the others wait until some of these are answered
  for (std::size_t i = 0; i < open.size(); ++i) {
    const auto tell = open[i];  // more come by it
    tell(RightsAnswer(Rights{.broadcast_write = true}));
  }
  CHECK(open.size() == 100);
  CHECK(node.published.size() == 100);
  CHECK(statuses == std::vector<int>{202});
  open.clear();
  CHECK(node.held == 0);
}

TEST_CASE("private messages for which there is no room are refused before anything of their request is sent") {
  const std::pair<Room, int> refusals[] = {{Room::kTenantIsFull, 429}, {Room::kNodeIsFull, 503}};
  for (const auto& [room, status] : refusals) {
    Node node;
    node.rights = [](const RightsQuestion&) { return Rights{.broadcast_write = true}; };
    node.room = room;
    const auto one = node.post("/api/broadcast/t/events/e?private=true", "{}");
    const auto batch =
        node.batch(R"([{"topic":"a","event":"e","payload":{}},{"topic":"b","event":"e","payload":{},"private":true}])");
    for (const auto& response : {one, batch}) {
      CHECK(response.status == status);
      CHECK(response.body.find("please send them again later") != std::string::npos);
    }
    CHECK(node.published.empty());
    CHECK(node.asked.empty());
    CHECK(node.batch(kGood).status == 202);
    node.room = Room::kThere;
    CHECK(node.post("/api/broadcast/t/events/e?private=true", "{}").status == 202);
    CHECK(node.held == 0);
  }
}

}  // namespace
}  // namespace rt::rest
