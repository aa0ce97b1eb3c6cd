#include "domain/channels/channel_set.h"

#include <doctest/doctest.h>

#include <map>
#include <optional>

#include "testing/manual_clock.h"

using namespace std::chrono_literals;

namespace rt::channels {
namespace {

struct NoInterest : Interest {
  void begin(std::uint64_t) override {}
  void end(std::uint64_t) override {}
};

// One socket whose tokens are texts of this test: `good`, `short` (expires in 10 s), anything else is malformed.
struct Socket : ChannelHost {
  explicit Socket(phoenix::Version v = phoenix::Version::kV2) : version(v) {
    rules_.error_backoff = 5s;
    record.external_id = "acme";
  }

  Time now() const override { return clock.now(); }
  UnixSeconds unix_now() const override { return clock.unix_seconds(); }
  TimingWheel& wheel() override { return wheel_; }
  TopicTable& topics() override { return table; }
  const ChannelRules& rules() const override { return rules_; }
  const TenantRecord& tenant() const override { return record; }
  bool is_draining() const override { return draining; }
  Result<TokenRef, TokenFault> verify(std::string_view text) override {
    if (text == "good") return token("good", 3600);
    if (text == "short") return token("short", 10);
    if (text == "rounded") return token("rounded", 0);
    if (text == "forged") return tl::make_unexpected(TokenFault{.kind = TokenFaultKind::kBadSignature});
    return tl::make_unexpected(TokenFault{.kind = TokenFaultKind::kMalformed});
  }
  Result<void, TokenFault> confirm(const Token& token) override {
    if (token.claims.expires_at > unix_now()) return {};
    return tl::make_unexpected(
        TokenFault{.kind = TokenFaultKind::kExpired, .expired_for_seconds = unix_now() - token.claims.expires_at});
  }
  bool user_has_room() const override { return counted || has_room; }
  void count_user() override { counted = true; }
  bool joins_are_over_limit() override { return over_join_limit; }
  void count_join() override { ++counted_joins; }
  void note_join(JoinResult result) override { ++(result == JoinResult::kOk ? joins_ok : joins_refused); }
  int joins_ok = 0;
  int joins_refused = 0;
  void note_message() override { ++counted_messages; }
  void count_event() override { ++counted_events; }
  void perform(Actions& actions) override {
    for (Action& action : actions) {
      if (const auto* sent = std::get_if<SendFrame>(&action)) frames.push_back(payload_of(sent->frame));
      if (std::holds_alternative<CutSocket>(action)) frames.push_back("cut");
      if (const auto* close = std::get_if<CloseSocket>(&action))
        frames.push_back("close " + std::to_string(static_cast<int>(close->code)));
      if (const auto* published = std::get_if<Publish>(&action)) {
        frames.push_back("publish " + published->message.payload +
                         (published->echo == Echo::kIncludeSender ? " to self too" : ""));
      }
    }
  }

  TokenRef token(std::string text, UnixSeconds lifetime) {
    return std::make_shared<const Token>(
        Token{std::move(text), {.role = "authenticated", .expires_at = unix_now() + lifetime}});
  }
  static std::string payload_of(std::string_view frame) {
    const auto length = static_cast<unsigned char>(frame[1]);
    return std::string(frame.substr(length == 127 ? 10 : length == 126 ? 4 : 2));
  }
  // What the frames led to since the last call.
  std::vector<std::string> say(std::string_view text, ws::Opcode opcode = ws::Opcode::kText) {
    Actions actions;
    set.handle(opcode, text, actions);
    perform(actions);
    return std::exchange(frames, {});
  }
  std::vector<std::string> wait(Duration duration) {
    const Time end = clock.now() + duration;
    while (clock.now() < end) {
      clock.advance(std::min<Duration>(end - clock.now(), 100ms));
      wheel_.advance(clock.now());
    }
    return std::exchange(frames, {});
  }

  phoenix::Version version;
  ManualClock clock;
  TimingWheel wheel_{clock.now()};
  NoInterest interest;
  TopicTable table{{1, 2}, interest};
  ChannelRules rules_;
  TenantRecord record;
  bool draining = false;
  bool has_room = true;
  bool counted = false;
  bool over_join_limit = false;
  int counted_joins = 0;
  int counted_events = 0;
  int counted_messages = 0;
  std::vector<std::string> frames;
  ChannelSet set{*this, 7, {version, {}}, token("good", 3600)};
};

using Frames = std::vector<std::string>;

const std::string kJoin = R"(["1","1","realtime:a","phx_join",{"config":{}}])";
const std::string kJoined = R"(["1","1","realtime:a","phx_reply",{"status":"ok","response":{"postgres_changes":[]}}])";
const std::string kClosed = R"(["1","1","realtime:a","phx_close",{}])";

std::string bad_join(const std::string& ref) {
  return R"([")" + ref + R"(",")" + ref + R"(","realtime:a","phx_join",{"config":{},"access_token":"x"}])";
}
std::string bad_token(const std::string& ref) {
  return R"([")" + ref + R"(",")" + ref +
         R"(","realtime:a","phx_reply",{"status":"error","response":{"reason":"MalformedJWT: The token provided is not a valid JWT"}}])";
}
std::string system_error(const std::string& message) {
  return R"(["1",null,"realtime:a","system",{"extension":"system","status":"error","message":")" + message +
         R"(","channel":"a"}])";
}

TEST_CASE("a channel lives from join to leave, and a stale leave does not touch it") {
  Socket socket;
  CHECK(socket.say(kJoin) == Frames{kJoined});
  CHECK(socket.table.seats() == 1);
  CHECK(socket.say(R"(["0","5","realtime:a","phx_leave",{}])").empty());
  CHECK(socket.say(R"(["1","6","realtime:a","phx_leave",{}])") ==
        Frames{R"(["1","6","realtime:a","phx_reply",{"status":"ok","response":{}}])", kClosed});
  CHECK(socket.table.seats() == 0);
  CHECK(socket.set.is_empty());
}

TEST_CASE("a duplicate join replaces the channel, also when it fails") {
  Socket socket;
  socket.say(kJoin);
  const Frames again = socket.say(R"(["2","2","realtime:a","phx_join",{"config":{}}])");
  REQUIRE(again.size() == 2);
  CHECK(again[0].starts_with(R"(["2","2","realtime:a","phx_reply",{"status":"ok")"));
  CHECK(again[1] == kClosed);
  CHECK(socket.say(bad_join("3")).empty());
  CHECK(socket.table.seats() == 0);
  CHECK(socket.wait(6s) == Frames{bad_token("3"), R"(["2","2","realtime:a","phx_close",{}])"});
}

TEST_CASE("a refused join waits for its answer; its topic waits with it, heartbeats and other topics do not") {
  Socket socket;
  CHECK(socket.say(bad_join("1")).empty());
  CHECK(socket.say(R"([null,"2","realtime:a","broadcast",{}])").empty());
  CHECK(socket.say(R"(["3","3","realtime:a","phx_join",{"config":{}}])").empty());
  CHECK(socket.say(R"([null,"9","phoenix","heartbeat",{}])").size() == 1);
  CHECK(socket.say(R"(["4","4","realtime:b","phx_join",{"config":{}}])").size() == 1);
  CHECK(socket.wait(4s).empty());
  const Frames late = socket.wait(2s);
  REQUIRE(late.size() == 3);
  CHECK(late[0] == bad_token("1"));
  CHECK(late[1] == R"([null,"2","realtime:a","phx_reply",{"status":"error","response":{"reason":"unmatched topic"}}])");
  CHECK(late[2].starts_with(R"(["3","3","realtime:a","phx_reply",{"status":"ok")"));
}

TEST_CASE("a client that piles up frames behind refusals is not read until they are answered, and loses none") {
  Socket socket;
  socket.say(bad_join("1"));
  int said = 0;
  while (!socket.set.wants_pause()) {
    REQUIRE(said++ < 100'000);
    socket.say(R"(["1",")" + std::to_string(said) + R"(","realtime:a","broadcast",{}])");
  }
  CHECK(said > 100);
  CHECK(socket.wait(6s).size() == static_cast<std::size_t>(said) + 1);
  CHECK(!socket.set.wants_pause());
}

TEST_CASE("a socket that is drained gets every answer that waits, in the order of its joins") {
  Socket socket;
  socket.say(bad_join("1"));
  socket.wait(1s);
  socket.say(R"(["2","2","realtime:b","phx_join",{"config":"x"}])");
  socket.say(R"(["3","3","realtime:a","phx_join",{"config":{}}])");
  socket.draining = true;
  Actions actions;
  socket.set.answer_refusals(actions);
  socket.perform(actions);
  REQUIRE(socket.frames.size() == 3);
  CHECK(socket.frames[0] == bad_token("1"));
  CHECK(socket.frames[1].find("UnknownErrorOnChannel: ") != std::string::npos);
  CHECK(socket.frames[2].find(R"("RealtimeRestarting: Realtime is restarting, please standby")") != std::string::npos);
  socket.frames.clear();
  CHECK(socket.wait(10s).empty());
}

TEST_CASE("the first failing check of a join names the reason") {
  const auto reason = [](Socket& socket, std::string_view frame) {
    socket.rules_.error_backoff = 0ms;
    const Frames frames = socket.say(frame);
    REQUIRE(frames.size() == 1);
    const std::size_t at = frames[0].find("\"reason\":\"") + 10;
    return frames[0].substr(at, frames[0].rfind('"') - at);
  };
  Socket s;
  CHECK(reason(s, R"(["1","1","realtime:","phx_join",null])") == "TopicNameRequired: You must provide a topic name");
  CHECK(reason(s, R"(["1","1","realtime:a","phx_join",[]])").starts_with("UnknownErrorOnChannel: "));
  CHECK(reason(s, R"(["1","1","realtime:a","phx_join",{"access_token":"rounded"}])") ==
        "InvalidJWTToken: Token expiration time is invalid");
  CHECK(reason(s, R"(["1","1","realtime:a","phx_join",{"access_token":"forged"}])") ==
        "JwtSignatureError: Failed to validate JWT signature");
  CHECK(reason(s, R"(["1","1","realtime:a","phx_join",{"config":{"private":true}}])") ==
        "UnableToConnectToProject: Realtime was unable to connect to the project database");
  CHECK(reason(s, R"(["1","1","realtime:a","phx_join",{"config":{"broadcast":{"replay":null}}}])") ==
        "UnableToReplayMessages: Replay is not allowed for public channels");
  s.record.private_only = true;
  CHECK(reason(s, R"(["1","1","realtime:a","phx_join",{"config":{},"access_token":"x"}])") ==
        "PrivateOnly: This project only allows private channels");
  s.has_room = false;
  CHECK(reason(s, R"(["1","1","realtime:a","phx_join",{"config":{"private":true}}])") ==
        "ConnectionRateLimitReached: Too many connected users");
  s.draining = true;
  CHECK(reason(s, kJoin) == "RealtimeRestarting: Realtime is restarting, please standby");
}

TEST_CASE(
    "channels of a socket are limited, a replaced one does not count, and a refused one does until it is answered") {
  Socket socket;
  socket.record.limits.channels_per_client_max = 1;
  CHECK(socket.say(kJoin).size() == 1);
  CHECK(socket.say(R"(["2","2","realtime:a","phx_join",{"config":{}}])").size() == 2);
  CHECK(socket.say(R"(["3","3","realtime:b","phx_join",{"config":{}}])").empty());
  CHECK(socket.wait(6s)[0].find("ChannelRateLimitReached: Too many channels") != std::string::npos);
  socket.say(R"(["2","4","realtime:a","phx_leave",{}])");
  socket.say(bad_join("5"));
  CHECK(socket.say(R"(["6","6","realtime:b","phx_join",{"config":{}}])").empty());
  CHECK(socket.wait(6s).size() == 2);
  CHECK(socket.say(R"(["7","7","realtime:b","phx_join",{"config":{}}])").size() == 1);
}

TEST_CASE("joins of a tenant that joins too often are refused, and the socket is closed behind the answer") {
  Socket socket;
  socket.say(kJoin);
  socket.over_join_limit = true;
  CHECK(socket.say(R"(["3","3","realtime:b","phx_join",{"config":{}}])").empty());
  const Frames answer = socket.wait(6s);
  REQUIRE(answer.size() == 2);
  CHECK(answer[0].find("ClientJoinRateLimitReached: Too many joins per second") != std::string::npos);
  CHECK(answer[1] == "close 1001");
  CHECK(socket.counted_joins == 1);
  CHECK(socket.joins_ok == 1);
  CHECK(socket.joins_refused == 1);
}

TEST_CASE("a join counts even if it fails later, but not if it is refused before") {
  Socket socket;
  socket.say(bad_join("1"));
  CHECK(socket.counted_joins == 1);
  socket.has_room = false;
  socket.say(R"(["3","3","realtime:b","phx_join",{"config":{}}])");
  CHECK(socket.counted_joins == 1);
}

TEST_CASE("broadcasts and unknown events of a joined client count, too large ones as well, and nothing else") {
  Socket socket;
  socket.record.limits.payload_kb_max = 1;
  socket.say(kJoin);
  socket.say(R"(["1","2","realtime:a","broadcast",{}])");
  socket.say(R"(["1","3","realtime:a","broadcast",{"x":")" + std::string(2'000, 'x') + R"("}])");
  socket.say(R"(["1","4","realtime:a","whatever",{}])");
  CHECK(socket.counted_events == 3);
  socket.say(R"(["1","4","realtime:a","access_token",{"access_token":1}])");
  CHECK(socket.counted_events == 4);
  socket.say(R"([null,"5","phoenix","heartbeat",{}])");
  socket.say(R"(["9","6","realtime:z","broadcast",{}])");
  socket.say(R"(["1","7","realtime:a","access_token",{"access_token":"good"}])");
  socket.say(R"(["1","8","realtime:a","phx_leave",{}])");
  CHECK(socket.counted_events == 4);
}

TEST_CASE("a channel that its host ends is told why and closed; one that is not there is nobody's fault") {
  Socket socket;
  socket.say(kJoin);
  Actions actions;
  socket.set.end("realtime:b", "because", actions);
  CHECK(actions.empty());
  socket.set.end("realtime:a", "because", actions);
  socket.perform(actions);
  CHECK(std::exchange(socket.frames, {}) == Frames{system_error("because"), kClosed});
  CHECK(socket.table.seats() == 0);
}

TEST_CASE("a socket whose channels hold too much is cut, and what a channel held is free again when it has ended") {
  Socket socket;
  socket.rules_.socket_bytes_max = 10'000;
  const std::string name = std::string(6'000, 'x');
  const auto join = [&](char first) {
    return R"(["1","1","realtime:)" + (first + name) + R"(","phx_join",{"config":{}}])";
  };
  for (int round = 0; round < 5; ++round) {
    CHECK(socket.say(join('a')).size() == 1);
    CHECK(socket.say(R"(["1","2","realtime:a)" + name + R"(","phx_leave",{}])").size() == 2);
  }
  CHECK(socket.say(join('a')).size() == 1);
  CHECK(socket.say(join('b')) == Frames{"cut"});
}

TEST_CASE("a broadcast is published as it came, before its acknowledgement") {
  Socket socket;
  socket.say(R"(["1","1","realtime:a","phx_join",{"config":{"broadcast":{"ack":true,"self":true}}}])");
  CHECK(socket.say(R"([null,"2","realtime:a","broadcast", {"x": 1.50} ])") ==
        Frames{R"(publish {"x": 1.50} to self too)",
               R"(["1","2","realtime:a","phx_reply",{"status":"ok","response":{}}])"});
  CHECK(socket.say(R"([null,"3","realtime:a","broadcast","text"])").empty());
  socket.record.limits.payload_kb_max = 0;
  const std::string big = std::string(500, 'b');
  CHECK(socket.say(R"([null,"4","realtime:a","broadcast",{"x":")" + big + R"("}])") ==
        Frames{R"(["1","4","realtime:a","phx_reply",{"status":"error","response":"payload_size_exceeded"}])"});
}

TEST_CASE("a channel ends with its token, and a refreshed one goes on") {
  Socket socket;
  socket.say(R"(["1","1","realtime:a","phx_join",{"config":{},"access_token":"short"}])");
  CHECK(socket.wait(9s).empty());
  CHECK(socket.wait(2s) == Frames{system_error("Token has expired 0 seconds ago"), kClosed});

  Socket refreshed;
  refreshed.say(R"(["1","1","realtime:a","phx_join",{"config":{},"access_token":"short"}])");
  CHECK(refreshed.say(R"([null,null,"realtime:a","access_token",{"access_token":"good"}])").empty());
  CHECK(refreshed.wait(20min).empty());
  CHECK(refreshed.set.channels() == 1);
}

TEST_CASE("a bad new token closes the channel, and what is no token changes nothing") {
  for (const auto& [token, message] : std::map<std::string, std::string>{{"x", "The token provided is not a valid JWT"},
                                                                         {"", "The token provided is not a valid JWT"},
                                                                         {"forged", ":signature_error"},
                                                                         {"rounded", "0"}}) {
    Socket socket;
    socket.say(kJoin);
    CHECK(socket.say(R"([null,"2","realtime:a","access_token",{"access_token":")" + token + R"("}])") ==
          Frames{system_error(message), kClosed});
  }
  Socket socket;
  socket.say(kJoin);
  for (const char* payload : {"null", "{}", "[]", R"({"access_token":null})", R"({"access_token":5})",
                              R"({"access_token":"sb_x"})", R"({"access_token":"good"})"}) {
    CHECK(socket.say(R"([null,"2","realtime:a","access_token",)" + std::string(payload) + "]").empty());
  }
  CHECK(socket.set.channels() == 1);
}

TEST_CASE("version 1 has no join_ref in its frames, and a join without one leaves without one") {
  Socket socket(phoenix::Version::kV1);
  CHECK(
      socket.say(R"({"topic":"realtime:a","event":"phx_join","payload":{"config":{}},"ref":7})") ==
      Frames{
          R"({"topic":"realtime:a","event":"phx_reply","payload":{"status":"ok","response":{"postgres_changes":[]}},"ref":7})"});
  CHECK(socket.say(R"({"topic":"realtime:a","event":"phx_leave","payload":{},"ref":"8"})") ==
        Frames{R"({"topic":"realtime:a","event":"phx_reply","payload":{"status":"ok","response":{}},"ref":"8"})",
               R"({"topic":"realtime:a","event":"phx_close","payload":{},"ref":null})"});
}

TEST_CASE("a channel that waits for a replication that never comes is closed when its time is up") {
  Socket socket;
  socket.say(R"(["1","1","realtime:a","phx_join",{"config":{"broadcast":{"replication_ready":true}}}])");
  CHECK(socket.wait(59s).empty());
  CHECK(socket.wait(2s) == Frames{system_error("Replication connection was not established in time"), kClosed});
}

}  // namespace
}  // namespace rt::channels
