#include "domain/channels/channel_set.h"

#include <doctest/doctest.h>

#include <map>

#include "testing/channel_socket.h"

namespace rt::channels {
namespace {

using namespace testing;

const std::string kJoin = R"(["1","1","realtime:a","phx_join",{"config":{}}])";

std::string bad_join(const std::string& ref) {
  return R"([")" + ref + R"(",")" + ref + R"(","realtime:a","phx_join",{"config":{},"access_token":"x"}])";
}
std::string bad_token(const std::string& ref) {
  return R"([")" + ref + R"(",")" + ref +
         R"(","realtime:a","phx_reply",{"status":"error","response":{"reason":"MalformedJWT: The token provided is not a valid JWT"}}])";
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

// --- Private channels

const std::string kPrivateJoin =
    R"(["1","1","realtime:a","phx_join",{"config":{"private":true,"broadcast":{"ack":true}}}])";
constexpr RightsFaultKind kDown = RightsFaultKind::kUnavailable;

TEST_CASE(
    "a private join waits for its rights, and takes its seat among the private ones only when it has one to read") {
  Socket socket;
  CHECK(socket.say(kPrivateJoin).empty());
  REQUIRE(socket.questions.size() == 1);
  CHECK(socket.questions[0].question.topic == "a");
  CHECK(socket.questions[0].question.claims.role == "authenticated");
  CHECK(socket.questions[0].question.asked == AskedRights{.broadcast_read = true});
  CHECK(socket.table.seats() == 0);
  CHECK(socket.decide(kReader) == Frames{kJoined});
  const TopicKey key{"acme", Privacy::kPrivate, "realtime:a"};
  const Topic* topic = socket.table.find(key, hash_of(socket.table.hash_key(), key));
  REQUIRE(topic != nullptr);
  CHECK(topic->subscribers[0].rights == kReader);
  CHECK(socket.counted);
  CHECK(socket.wait(5min).empty());
}

TEST_CASE("rights that were not asked for are not taken from an answer") {
  Socket socket;
  socket.say(kPrivateJoin);
  CHECK(socket.decide(Rights::all()) == Frames{kJoined});
  socket.say(R"(["1","2","realtime:a","broadcast",{}])");
  CHECK(socket.questions.size() == 1);
}

TEST_CASE("presence is asked for where the client or the tenant has it, and may be the only right to read") {
  Socket socket;
  socket.say(R"(["1","1","realtime:a","phx_join",{"config":{"private":true,"presence":{"enabled":true}}}])");
  CHECK(socket.questions[0].question.asked == AskedRights{.broadcast_read = true, .presence_read = true});
  CHECK(socket.decide(Rights{.broadcast_read = false, .presence_read = true}) == Frames{kJoined});
  socket.record.presence_enabled = true;
  socket.say(R"(["2","2","realtime:b","phx_join",{"config":{"private":true}}])");
  CHECK(socket.questions[0].question.asked.presence_read);
}

TEST_CASE("a join without a right to read is refused after the back-off, and holds a channel of its socket meanwhile") {
  Socket socket;
  socket.record.limits.channels_per_client_max = 1;
  socket.say(kPrivateJoin);
  // It counts while it is asked about, and while it is refused.
  socket.say(R"(["2","2","realtime:b","phx_join",{"config":{}}])");
  CHECK(socket.decide(Rights{.broadcast_read = false}).empty());
  const Frames late = socket.wait(6s);
  REQUIRE(late.size() == 2);
  CHECK(late[0].find("ChannelRateLimitReached") != std::string::npos);
  CHECK(late[1] == refused("Unauthorized: " + kNoRead));
  CHECK(socket.joins_refused == 2);
  CHECK(socket.set.is_empty());
  CHECK(socket.say(R"(["3","3","realtime:b","phx_join",{"config":{}}])").size() == 1);
}

TEST_CASE("each way in which the database gives no answer has its own text and line in the log") {
  struct Case {
    RightsFaultKind kind;
    std::string join;
    std::string close;
    std::string code;
  };
  const std::string no_database = "Realtime was unable to connect to the project database";
  const Case cases[] = {
      {RightsFaultKind::kPolicy, "Unauthorized: " + kNoRead, kNoRead, "RlsPolicyError"},
      {RightsFaultKind::kCancelled, "QueryCanceled: why", "Query was cancelled, please try again", "QueryCanceled"},
      {RightsFaultKind::kMissingPartition,
       "MissingPartition: Realtime was unable to find the expected messages partition", no_database,
       "MissingPartition"},
      {RightsFaultKind::kPoolExhausted, "IncreaseConnectionPool: Please increase your connection pool size",
       ":increase_connection_pool", "IncreaseConnectionPool"},
      {RightsFaultKind::kUnavailable, "UnableToConnectToProject: " + no_database, no_database,
       "UnableToConnectToProject"},
      {RightsFaultKind::kNoSlots,
       "DatabaseLackOfConnections: Database can't accept more connections, Realtime won't connect",
       ":tenant_db_too_many_connections", "DatabaseLackOfConnections"},
      {RightsFaultKind::kInitializing, "InitializingProjectConnection: Connecting to the project database",
       ":initializing", "InitializingProjectConnection"},
      {RightsFaultKind::kTooManyAttempts,
       "DatabaseConnectionRateLimitReached: Too many database connections attempts per second",
       ":connect_rate_limit_reached", "DatabaseConnectionRateLimitReached"},
      {RightsFaultKind::kSuspended, "RealtimeDisabledForTenant: Realtime disabled for this tenant", ":tenant_suspended",
       "RealtimeDisabledForTenant"},
      {RightsFaultKind::kOther, no_database, no_database, "UnableToSetPolicies"}};
  for (const Case& one : cases) {
    CAPTURE(one.code);
    Socket joining;
    joining.say(kPrivateJoin);
    CHECK(joining.decide(fault(one.kind, "why")).empty());
    CHECK(joining.logged == Frames{one.code});
    CHECK(joining.wait(6s) == Frames{refused(one.join)});

    Socket refreshing;
    refreshing.say(kPrivateJoin);
    refreshing.decide(kReader);
    CHECK(refreshing.say(R"([null,"2","realtime:a","access_token",{"access_token":"short"}])").empty());
    CHECK(refreshing.decide(fault(one.kind, "why")) == Frames{system_error(one.close), kClosed});
    CHECK(refreshing.table.seats() == 0);
  }
}

TEST_CASE("a database that never answers is given up, and a late answer is nobody's") {
  Socket socket;
  socket.say(kPrivateJoin);
  const AskRights asked = socket.questions.front();
  CHECK(socket.wait(29s).empty());
  CHECK(socket.wait(7s) ==
        Frames{refused("UnableToConnectToProject: Realtime was unable to connect to the project database")});
  CHECK(socket.decide(asked, kReader).empty());
  CHECK(socket.table.seats() == 0);
  // The next join of that topic has a question of its own.
  socket.say(R"(["2","2","realtime:a","phx_join",{"config":{"private":true}}])");
  CHECK(socket.decide(asked, kReader).empty());
  CHECK(socket.table.seats() == 0);
}

TEST_CASE("what a client says while it joins is worked off in order, a leave and another join included") {
  Socket socket;
  socket.say(kPrivateJoin);
  CHECK(socket.say(R"(["1","2","realtime:a","whatever",{}])").empty());
  CHECK(socket.say(R"(["1","3","realtime:a","phx_leave",{}])").empty());
  CHECK(socket.say(R"(["4","4","realtime:a","phx_join",{"config":{"private":true}}])").empty());
  CHECK(socket.say(R"(["4","5","realtime:a","phx_leave",{}])").empty());
  CHECK(socket.say(R"([null,"9","phoenix","heartbeat",{}])").size() == 1);
  CHECK(socket.decide(kReader) ==
        Frames{kJoined, R"(["1","3","realtime:a","phx_reply",{"status":"ok","response":{}}])", kClosed});
  CHECK(socket.counted_events == 1);
  CHECK(socket.decide(kReader) ==
        Frames{R"(["4","4","realtime:a","phx_reply",{"status":"ok","response":{"postgres_changes":[]}}])",
               R"(["4","5","realtime:a","phx_reply",{"status":"ok","response":{}}])",
               R"(["4","4","realtime:a","phx_close",{}])"});
  CHECK(socket.set.is_empty());
  CHECK(!socket.set.wants_pause());
}

TEST_CASE("a private join replaces a public channel at once, and is told of it with its own answer") {
  Socket socket;
  socket.say(kJoin);
  CHECK(socket.say(R"(["2","2","realtime:a","phx_join",{"config":{"private":true}}])").empty());
  CHECK(socket.table.seats() == 0);
  CHECK(socket.decide(kReader) ==
        Frames{R"(["2","2","realtime:a","phx_reply",{"status":"ok","response":{"postgres_changes":[]}}])", kClosed});
}

TEST_CASE("what waits behind questions is bounded as what waits behind refusals, and nothing of it is lost") {
  Socket socket;
  socket.say(kPrivateJoin);
  int said = 0;
  while (!socket.set.wants_pause()) {
    REQUIRE(said++ < 100'000);
    socket.say(R"(["1",")" + std::to_string(said) + R"(","realtime:a","broadcast",{"x":1}])");
  }
  CHECK(socket.decide(kReader) == Frames{kJoined});
  const Frames all = socket.decide(Rights{.broadcast_write = true, .presence_write = false});
  CHECK(all.size() == 2 * static_cast<std::size_t>(said));
  CHECK(!socket.set.wants_pause());
}

TEST_CASE("a socket has no more users than there is room for, also when many ask at the same time") {
  Socket socket;
  socket.say(kPrivateJoin);
  socket.has_room = false;
  CHECK(socket.decide(kReader).empty());
  CHECK(socket.wait(6s) == Frames{refused("ConnectionRateLimitReached: Too many connected users")});
}

TEST_CASE("the right to send is asked for at the first broadcast and kept until there is a new token") {
  Socket socket;
  socket.say(kPrivateJoin);
  socket.decide(kReader);
  CHECK(socket.say(R"(["1","2","realtime:a","broadcast",{"n":1}])").empty());
  CHECK(socket.say(R"(["1","3","realtime:a","broadcast",{"n":2}])").empty());
  REQUIRE(socket.questions.size() == 1);
  CHECK(socket.questions[0].question.asked == AskedRights{.broadcast_write = true, .presence_write = true});
  CHECK(socket.decide(Rights{.broadcast_write = true, .presence_write = false}) ==
        Frames{R"(publish {"n":1})", R"(["1","2","realtime:a","phx_reply",{"status":"ok","response":{}}])",
               R"(publish {"n":2})", R"(["1","3","realtime:a","phx_reply",{"status":"ok","response":{}}])"});
  CHECK(socket.say(R"(["1","4","realtime:a","broadcast",{"n":3}])").size() == 2);
  CHECK(socket.counted_events == 3);

  socket.say(R"([null,"5","realtime:a","access_token",{"access_token":"short"}])");
  CHECK(socket.decide(kReader).empty());
  CHECK(socket.say(R"(["1","6","realtime:a","broadcast",{"n":4}])").empty());
  CHECK(socket.decide(Rights{.broadcast_write = false, .presence_write = true}).empty());
  CHECK(socket.say(R"(["1","7","realtime:a","broadcast",{"n":5}])").empty());
  CHECK(socket.questions.empty());
  CHECK(socket.counted_events == 3);
  CHECK(socket.set.channels() == 1);
}

TEST_CASE("a broadcast whose right cannot be known is dropped with those behind it, and the next one asks again") {
  Socket socket;
  socket.say(kPrivateJoin);
  socket.decide(kReader);
  socket.logged.clear();
  socket.say(R"(["1","2","realtime:a","broadcast",{"n":1}])");
  socket.say(R"(["1","3","realtime:a","broadcast",{"n":2}])");
  socket.say(R"(["1","4","realtime:a","whatever",{}])");
  socket.say(R"(["1","5","realtime:a","broadcast",{"n":3}])");
  CHECK(socket.decide(fault(kDown)).empty());
  CHECK(socket.logged == Frames{"UnableToHandleBroadcast", "UnknownEvent"});
  CHECK(socket.decide(Rights{.broadcast_write = true, .presence_write = true}).size() == 2);
  CHECK(!socket.set.wants_pause());
}

TEST_CASE("a new token is asked about; until the answer the old rights to read hold, and what is said waits") {
  Socket socket;
  socket.say(kPrivateJoin);
  socket.decide(kReader);
  CHECK(socket.say(R"([null,"2","realtime:a","access_token",{"access_token":"short"}])").empty());
  CHECK(socket.questions[0].question.asked == AskedRights{.broadcast_read = true});
  const TopicKey key{"acme", Privacy::kPrivate, "realtime:a"};
  const auto rights = [&] {
    return socket.table.find(key, hash_of(socket.table.hash_key(), key))->subscribers[0].rights;
  };
  CHECK(rights() == kReader);
  CHECK(socket.say(R"(["1","3","realtime:a","phx_leave",{}])").empty());
  CHECK(socket.decide(kReader) ==
        Frames{R"(["1","3","realtime:a","phx_reply",{"status":"ok","response":{}}])", kClosed});
}

TEST_CASE("a new token without rights, or with fewer to read, closes the channel; more rights count at once") {
  const auto refreshed = [](const Rights& before, const Rights& after) {
    Socket socket;
    socket.say(R"(["1","1","realtime:a","phx_join",{"config":{"private":true,"presence":{"enabled":true}}}])");
    socket.decide(before);
    socket.say(R"([null,"2","realtime:a","access_token",{"access_token":"short"}])");
    return socket.decide(after);
  };
  const Rights both{.broadcast_read = true, .presence_read = true};
  const Rights one{.broadcast_read = true, .presence_read = false};
  const Rights other{.broadcast_read = false, .presence_read = true};
  const std::string lost = "You no longer have permission to read from this Channel topic: a";
  CHECK(refreshed(both, Rights{.broadcast_read = false, .presence_read = false}) ==
        Frames{system_error(kNoRead), kClosed});
  CHECK(refreshed(both, one) == Frames{system_error(lost), kClosed});
  CHECK(refreshed(other, one) == Frames{system_error(lost), kClosed});
  CHECK(refreshed(one, both).empty());
  CHECK(refreshed(other, other).empty());
}

TEST_CASE("the same token, none, or an opaque key asks nothing of the database, and a public channel never does") {
  Socket socket;
  socket.say(kPrivateJoin);
  socket.decide(kReader);
  for (const char* token : {"\"good\"", "null", "\"sb_x\""}) {
    CHECK(socket.say(R"([null,"2","realtime:a","access_token",{"access_token":)" + std::string(token) + "}]").empty());
  }
  socket.say(R"(["3","3","realtime:b","phx_join",{"config":{}}])");
  CHECK(socket.say(R"([null,"4","realtime:b","access_token",{"access_token":"short"}])").empty());
  CHECK(socket.questions.empty());
}

TEST_CASE("a channel that ends while it waits for its rights takes its question along") {
  Socket socket;
  socket.say(R"(["1","1","realtime:a","phx_join",{"config":{"private":true},"access_token":"short"}])");
  socket.decide(kReader);
  socket.say(R"(["1","2","realtime:a","broadcast",{"n":1}])");
  socket.say(R"(["3","3","realtime:a","phx_join",{"config":{}}])");
  const AskRights asked = socket.questions.front();
  // Its token expires, and what waited finds no channel, or makes one.
  const Frames frames = socket.wait(11s);
  REQUIRE(frames.size() == 4);
  CHECK(frames[0] == system_error("Token has expired 0 seconds ago"));
  CHECK(frames[2] ==
        R"([null,"2","realtime:a","phx_reply",{"status":"error","response":{"reason":"unmatched topic"}}])");
  CHECK(frames[3].starts_with(R"(["3","3","realtime:a","phx_reply",{"status":"ok")"));
  CHECK(socket.decide(asked, Rights::all()).empty());
  CHECK(socket.set.channels() == 1);
}

TEST_CASE("a socket that is closed by us forgets what it has asked") {
  for (const bool is_drained : {true, false}) {
    Socket socket;
    socket.say(kPrivateJoin);
    socket.say(R"(["2","2","realtime:b","phx_join",{"config":{"private":true}}])");
    const AskRights second = socket.questions.back();
    socket.decide(kReader);
    socket.say(R"(["1","3","realtime:a","broadcast",{"n":1}])");
    const AskRights third = socket.questions.back();
    Actions actions;
    if (is_drained) {
      socket.set.answer_refusals(actions);
    } else {
      socket.set.disconnect(actions);
    }
    CHECK(socket.decide(second, kReader).empty());
    CHECK(socket.decide(third, Rights::all()).empty());
    CHECK(!socket.set.wants_pause());
    CHECK(socket.wait(1min).empty());
  }
}

// --- presence

const std::string kPresentJoin =
    R"(["1","1","realtime:a","phx_join",{"config":{"presence":{"enabled":true,"key":"ann"}}}])";
std::string presence_push(const std::string& payload) { return R"(["1","9","realtime:a","presence",)" + payload + "]"; }
std::string track_push(const std::string& meta) {
  return presence_push(R"({"type":"presence","event":"track","payload":)" + meta + "}");
}
std::string presence_reply(const std::string& status, const std::string& response = "{}") {
  return R"(["1","9","realtime:a","phx_reply",{"status":")" + status + R"(","response":)" + response + "}]";
}
std::shared_ptr<const std::string> state_of(const std::string& payload) {
  return std::make_shared<const std::string>(
      ws::make_fragment(ws::Opcode::kContinuation, ws::Fragment::kMoreFollow, payload));
}

TEST_CASE("a channel with presence asks for the state when it has joined, and is told nothing before it has it") {
  Socket socket;
  CHECK(socket.say(kPresentJoin) == Frames{kJoined});
  CHECK(socket.presence == Frames{"1 state?"});
  CHECK(socket.presence_events == 1);
  const Topic* topic = socket.table.find({"acme", Privacy::kPublic, "realtime:a"},
                                         hash_of({1, 2}, {"acme", Privacy::kPublic, "realtime:a"}));
  REQUIRE(topic != nullptr);
  CHECK(topic->subscribers[0].presence_news == PresenceNews::kAwaitsState);
  Actions actions;
  socket.set.give_presence_state("realtime:a", 7, state_of("{}"), ChannelSet::Fragments::kTaken, actions);
  CHECK(actions.empty());
  socket.set.give_presence_state("realtime:a", 1, state_of("{}"), ChannelSet::Fragments::kTaken, actions);
  socket.perform(actions);
  CHECK(socket.frames == Frames{R"(["1",null,"realtime:a","presence_state",{}])"});
  CHECK(topic->subscribers[0].presence_news == PresenceNews::kShared);
}

TEST_CASE("a large state is a message of three fragments, whose middle is shared, or one frame where that cannot be") {
  const std::string large = "{\"x\":\"" + std::string(20'000, 'x') + "\"}";
  for (const auto version : {phoenix::Version::kV1, phoenix::Version::kV2}) {
    Socket socket(version);
    socket.say(
        version == phoenix::Version::kV2
            ? kPresentJoin
            : R"({"topic":"realtime:a","event":"phx_join","ref":"1","payload":{"config":{"presence":{"enabled":true}}}})");
    const auto state = state_of(large);
    Actions actions;
    socket.set.give_presence_state("realtime:a", 1, state, ChannelSet::Fragments::kTaken, actions);
    REQUIRE(actions.size() == 3);
    CHECK(std::get<SendFragment>(actions[1]).frame == state);
    std::string message;
    for (const Action& action : actions)
      message += ws::parse_server_frame(*std::get<SendFragment>(action).frame).payload;
    actions.clear();
    socket.set.give_presence_state("realtime:a", 1, state, ChannelSet::Fragments::kNotTaken, actions);
    REQUIRE(actions.size() == 1);
    CHECK(ws::parse_server_frame(std::get<SendFrame>(actions[0]).frame).payload == message);
  }
}

TEST_CASE("a track is told under the channel's key, the same again is not, and the end of the channel ends it") {
  Socket socket;
  socket.say(kPresentJoin);
  socket.presence.clear();
  CHECK(socket.say(track_push(R"({"b":1,"a":"x"})")) == Frames{presence_reply("ok")});
  CHECK(socket.say(track_push(R"({ "a":"\u0078","b":1})")) == Frames{presence_reply("ok")});
  CHECK(socket.presence == Frames{R"(1 track ann {"b":1,"a":"x"})"});
  CHECK(socket.say(track_push(R"({"b":1.0,"a":"x","phx_ref":"mine"})")) == Frames{presence_reply("ok")});
  CHECK(socket.say(presence_push(R"({"event":"Untrack"})")) == Frames{presence_reply("ok")});
  CHECK(socket.say(presence_push(R"({"event":"UNTRACK"})")) == Frames{presence_reply("ok")});
  CHECK(std::exchange(socket.presence, {}) ==
        Frames{R"(1 track ann {"b":1,"a":"x"})", R"(1 track ann {"b":1.0,"a":"x"})", "1 untrack"});
  Socket another;
  another.say(kJoin);
  another.say(track_push("{}"));
  CHECK(another.say(R"(["2","2","realtime:a","phx_join",{"config":{}}])").size() == 2);
  CHECK(another.presence == Frames{"1 track made-1 {}", "1 leave"});
}

TEST_CASE("a channel that never had to do with presence says nothing of it, and one that waits says that it is gone") {
  Socket socket;
  socket.say(kJoin);
  socket.say(R"(["1","6","realtime:a","phx_leave",{}])");
  CHECK(socket.presence.empty());
  socket.say(kPresentJoin);
  socket.say(R"(["1","6","realtime:a","phx_leave",{}])");
  CHECK(socket.presence == Frames{"1 state?", "1 leave"});
}

TEST_CASE("presence messages that make no sense are answered without effect") {
  Socket socket;
  socket.say(kJoin);
  for (const char* payload : {"{}", "null", "[]", "\"x\"", R"({"type":"presence"})"})
    CHECK(socket.say(presence_push(payload)) == Frames{presence_reply("ok")});
  for (const char* event : {"\"foo\"", "\"\"", "1", "null", "{}", "\"track \""})
    CHECK(socket.say(presence_push(R"({"event":)" + std::string(event) + "}")) == Frames{presence_reply("error")});
  for (const char* meta : {"\"x\"", "1", "null", "[{}]"})
    CHECK(socket.say(track_push(meta)) ==
          Frames{presence_reply("error", R"({"reason":"Presence track payload must be a map"})")});
  CHECK(socket.presence.empty());
  CHECK(socket.table.seats() == 1);
  // None of those counted.
  for (int i = 0; i < 5; ++i) CHECK(socket.say(track_push("{}")) == Frames{presence_reply("ok")});
  CHECK(socket.say(presence_push("{}")) == Frames{presence_reply("ok")});
  CHECK(socket.say(presence_push(R"({"event":"foo"})")) ==
        Frames{system_error("Client presence rate limit exceeded"), kClosed});
}

TEST_CASE("a channel has so many presence messages in a window, which begins with the first one") {
  Socket socket;
  socket.record.limits.client_presence_events_max = 3;
  socket.record.limits.client_presence_window_ms = 1000;
  socket.say(kJoin);
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 3; ++i)
      CHECK(socket.say(presence_push(R"({"event":"untrack"})")) == Frames{presence_reply("ok")});
    socket.wait(1001ms);
  }
  socket.record.limits.client_presence_events_max = 0;  // no number: the server's
  for (int i = 0; i < 5; ++i) socket.say(track_push(std::to_string(i).insert(0, "{\"n\":") + "}"));
  CHECK(socket.say(track_push("{}")) == Frames{system_error("Client presence rate limit exceeded"), kClosed});
  CHECK(socket.presence.back() == "1 leave");
  CHECK(socket.presence_ends == 1);
}

TEST_CASE("a track that is too large, or of a tenant with too much presence, closes the channel") {
  Socket socket;
  socket.record.limits.payload_kb_max = 1;
  socket.say(kJoin);
  CHECK(socket.say(track_push("{\"x\":\"" + std::string(1483, 'x') + "\"}")) == Frames{presence_reply("ok")});
  CHECK(socket.say(track_push("{\"x\":\"" + std::string(1484, 'x') + "\"}")) ==
        Frames{system_error("Track message size exceeded"), kClosed});
  socket.rules_.presence_bytes_max = 20;
  socket.say(kJoin);
  CHECK(socket.say(track_push(R"({"x":"made-1 counts too"})")) ==
        Frames{system_error("Track message size exceeded"), kClosed});
  // A key counts as it is written down.
  socket.say(R"(["1","1","realtime:a","phx_join",{"config":{"presence":{"key":"\u0001\u0001\u0001"}}}])");
  CHECK(socket.say(track_push("{}")) == Frames{system_error("Track message size exceeded"), kClosed});
  socket.over_presence_limit = true;
  CHECK(socket.say(kPresentJoin) == Frames{kJoined, system_error("Too many presence messages per second"), kClosed});
  socket.say(kJoin);
  CHECK(socket.say(track_push("{}")) == Frames{system_error("Too many presence messages per second"), kClosed});
}

TEST_CASE("what is tracked counts as memory of the socket") {
  Socket socket;
  socket.rules_.socket_bytes_max = 2000;
  socket.say(kJoin);
  const std::string large = "{\"x\":\"" + std::string(1000, 'x') + "\"}";
  for (int i = 0; i < 2; ++i) {
    CHECK(socket.say(track_push(large)) == Frames{presence_reply("ok")});
    CHECK(socket.say(presence_push(R"({"event":"untrack"})")) == Frames{presence_reply("ok")});
  }
  CHECK(socket.say(track_push("{\"x\":\"" + std::string(2000, 'x') + "\"}")) == Frames{presence_reply("ok"), "cut"});
}

TEST_CASE("a channel whose entry found no room is closed and told why") {
  Socket socket;
  socket.say(kJoin);
  socket.say(track_push("{}"));
  Actions actions;
  socket.set.refuse_presence("realtime:a", 1, actions);
  socket.perform(actions);
  REQUIRE(socket.frames.size() == 2);
  CHECK(socket.frames[0].find("Presence of this topic is full") != std::string::npos);
  CHECK(socket.frames[1] == kClosed);
}

TEST_CASE(
    "a private channel that tracks is asked about, late readers of presence too, and is told of changes from then on "
    "[P-174]") {
  Socket socket;
  socket.say(kPrivateJoin);
  socket.decide(kReader);
  const TopicKey key{"acme", Privacy::kPrivate, "realtime:a"};
  const auto subscriber = [&] { return socket.table.find(key, hash_of(socket.table.hash_key(), key))->subscribers[0]; };
  CHECK(subscriber().presence_news == PresenceNews::kNot);
  CHECK(socket.say(track_push("{}")).empty());
  REQUIRE(socket.questions.size() == 1);
  CHECK(socket.questions[0].question.asked ==
        AskedRights{.broadcast_read = true, .broadcast_write = true, .presence_read = true, .presence_write = true});
  CHECK(socket.decide(Rights::all()) == Frames{presence_reply("ok")});
  CHECK(socket.presence == Frames{"1 track made-1 {}"});
  CHECK(subscriber().presence_news == PresenceNews::kByChannel);
  CHECK(subscriber().rights == Rights::all());
  Actions actions;
  socket.set.push_presence_diff("realtime:a", state_of(R"({"joins":{},"leaves":{}})"), ChannelSet::Fragments::kTaken,
                                actions);
  socket.perform(actions);
  CHECK(std::exchange(socket.frames, {}) ==
        Frames{R"(["1",null,"realtime:a","presence_diff",{"joins":{},"leaves":{}}])"});
  // Others share what is large, however their messages begin.
  const auto large = state_of("{\"joins\":{\"a\":\"" + std::string(20'000, 'x') + "\"},\"leaves\":{}}");
  actions.clear();
  socket.set.push_presence_diff("realtime:a", large, ChannelSet::Fragments::kTaken, actions);
  REQUIRE(actions.size() == 3);
  CHECK(std::get<SendFragment>(actions[1]).frame == large);
  CHECK(socket.say(track_push(R"({"n":1})")) == Frames{presence_reply("ok")});
  CHECK(socket.questions.empty());
}

TEST_CASE("a broadcast before the first track leaves open whether presence may be read, and the track asks that") {
  Socket socket;
  socket.say(kPrivateJoin);
  socket.decide(kReader);
  socket.say(R"(["1","2","realtime:a","broadcast",{"n":1}])");
  socket.decide(Rights{.broadcast_write = true, .presence_write = true});
  CHECK(socket.say(track_push("{}")).empty());
  CHECK(socket.questions[0].question.asked == AskedRights{.broadcast_read = true, .presence_read = true});
  CHECK(socket.decide(Rights{.broadcast_read = false, .presence_read = false}) == Frames{presence_reply("ok")});
  const TopicKey key{"acme", Privacy::kPrivate, "realtime:a"};
  const Topic* topic = socket.table.find(key, hash_of(socket.table.hash_key(), key));
  CHECK(topic->subscribers[0].rights ==
        Rights{.broadcast_read = true, .broadcast_write = true, .presence_read = false, .presence_write = true});
}

TEST_CASE("a track that fails for another reason leaves nothing behind of what was asked for it") {
  Socket socket;
  socket.say(kPrivateJoin);
  socket.decide(kReader);
  const TopicKey key{"acme", Privacy::kPrivate, "realtime:a"};
  const auto rights = [&] {
    return socket.table.find(key, hash_of(socket.table.hash_key(), key))->subscribers[0].rights;
  };
  CHECK(socket.say(track_push("7")).empty());
  CHECK(socket.decide(Rights::all()) ==
        Frames{presence_reply("error", R"({"reason":"Presence track payload must be a map"})")});
  CHECK(rights() == kReader);
  CHECK(socket.say(track_push("{}")).empty());
  CHECK(socket.decide(Rights::all()) == Frames{presence_reply("ok")});
  CHECK(rights() == Rights::all());
  // The right to read presence is forgotten, too, where only that was open.
  Socket writer;
  writer.say(kPrivateJoin);
  writer.decide(kReader);
  writer.say(R"(["1","2","realtime:a","broadcast",{"n":1}])");
  writer.decide(Rights{.broadcast_write = true, .presence_write = false});
  for (int i = 0; i < 2; ++i) {
    CHECK(writer.say(track_push("{}")).empty());
    CHECK(writer.decide(Rights{.broadcast_read = true, .presence_read = true}) == Frames{presence_reply("error")});
  }
}

TEST_CASE(
    "a track that is denied, or cannot be decided on, is refused and asks again; an untrack is never asked about "
    "[P-172]") {
  Socket socket;
  socket.say(kPrivateJoin);
  socket.decide(kReader);
  socket.logged.clear();
  CHECK(socket.say(track_push("{}")).empty());
  CHECK(socket.say(presence_push(R"({"event":"untrack"})")).empty());  // waits behind it
  CHECK(socket.decide(
            Rights{.broadcast_read = true, .broadcast_write = true, .presence_read = true, .presence_write = false}) ==
        Frames{presence_reply("error"), presence_reply("ok")});
  CHECK(socket.logged == Frames{"UnableToHandlePresence"});
  CHECK(socket.say(presence_push(R"({"event":"untrack"})")) == Frames{presence_reply("ok")});
  CHECK(socket.say(track_push("{}")).empty());
  CHECK(socket.decide(fault(kDown)) == Frames{presence_reply("error")});
  CHECK(socket.say(track_push("{}")).empty());
  CHECK(socket.decide(Rights::all()) == Frames{presence_reply("ok")});
  CHECK(socket.presence == Frames{"1 track made-1 {}"});
  CHECK(!socket.set.wants_pause());
  // What a broadcast has found out counts for tracks.
  Socket other;
  other.say(kPrivateJoin);
  other.decide(kReader);
  other.say(R"(["1","2","realtime:a","broadcast",{"n":1}])");
  other.decide(Rights{.broadcast_write = true, .presence_write = false});
  CHECK(other.say(track_push("{}")).empty());
  CHECK(other.decide(Rights{.broadcast_read = true, .presence_read = true}) == Frames{presence_reply("error")});
}

TEST_CASE("a private channel with presence that may not read it has neither state nor diffs") {
  Socket socket;
  socket.say(R"(["1","1","realtime:a","phx_join",{"config":{"private":true,"presence":{"enabled":true}}}])");
  CHECK(socket.decide(Rights{.broadcast_read = true, .presence_read = false}).size() == 1);
  CHECK(socket.presence.empty());
  Socket reader;
  reader.say(R"(["1","1","realtime:a","phx_join",{"config":{"private":true,"presence":{"enabled":true}}}])");
  CHECK(reader.decide(Rights{.broadcast_read = false, .presence_read = true}).size() == 1);
  CHECK(reader.presence == Frames{"1 state?"});
}

}  // namespace
}  // namespace rt::channels
