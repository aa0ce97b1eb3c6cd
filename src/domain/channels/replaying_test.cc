#include <doctest/doctest.h>

#include "testing/channel_socket.h"

namespace rt::channels {
namespace {

using namespace testing;

const std::string kFailed = refused("UnableToReplayMessages: Realtime was unable to replay messages");

std::string join_with(const std::string& replay, const std::string& more = "") {
  return R"(["1","1","realtime:a","phx_join",{"config":{"private":true,"broadcast":{"replay":)" + replay + more +
         "}}}]";
}
const std::string kJoin = join_with(R"({"since":1000,"limit":2})");

StoredMessage old(const std::string& id, const std::string& payload) {
  return {.id = id, .event = "e\"", .payload = payload};
}
StoredMessage old_bytes(const std::string& id, std::string event = "e") {
  return {.id = id, .kind = StoredBroadcast::Kind::kBinary, .event = std::move(event), .payload = "\xff"};
}
std::string replayed(const std::string& id, const std::string& payload) {
  return R"(["1",null,"realtime:a","broadcast",{"type":"broadcast","event":"e\"","payload":)" + payload +
         R"(,"meta":{"id":")" + id + R"(","replayed":true}}])";
}
LiveMessage live(const std::string& id, std::string frame) {
  return {id, std::make_shared<const std::string>(std::move(frame))};
}

// One that may read, and has been asked about.
struct Reader : Socket {
  explicit Reader(const std::string& join = kJoin, phoenix::Version v = phoenix::Version::kV2) : Socket(v) {
    say(join);
    CHECK(decide(kReader).empty());
    CHECK(replays.size() == 1);
  }
  const Topic& topic() {
    const TopicKey key{"acme", Privacy::kPrivate, "realtime:a"};
    const Topic* found = table.find(key, hash_of(table.hash_key(), key));
    REQUIRE(found != nullptr);
    return *found;
  }
};

TEST_CASE("a join is answered once its old messages are there, and they follow at once, the oldest first [P-140]") {
  Reader socket;
  CHECK(socket.replays[0].question.topic == "a");
  CHECK(socket.replays[0].question.since == 1000);
  CHECK(socket.replays[0].question.limit == 2);
  CHECK(socket.replays[0].question.bytes_max == socket.rules_.replay_bytes_max);
  CHECK(socket.joins_ok == 0);
  CHECK(socket.replay(Replay{{old("i1", "1.10"), old("i2", "[2]")}}) ==
        Frames{kJoined, replayed("i1", "1.10"), replayed("i2", "[2]")});
  CHECK(socket.replayed == 2);
  CHECK(socket.counted_events == 0);
  CHECK(socket.joins_ok == 1);
  CHECK(socket.set.channels() == 1);
}

TEST_CASE("the number of old messages is 25, or what the client says, and never less than 1 or more than 25 [P-141]") {
  for (const auto& [limit, asked] : std::map<std::string, std::int64_t>{{"", 25},
                                                                        {R"(,"limit":null)", 25},
                                                                        {R"(,"limit":false)", 25},
                                                                        {R"(,"limit":0)", 1},
                                                                        {R"(,"limit":-3)", 1},
                                                                        {R"(,"limit":7)", 7},
                                                                        {R"(,"limit":25)", 25},
                                                                        {R"(,"limit":100)", 25}}) {
    CAPTURE(limit);
    CHECK(Reader(join_with(R"({"since":-5)" + limit + "}")).replays[0].question.limit == asked);
  }
}

TEST_CASE("replay needs a private channel, the right to read broadcasts, and parameters that make sense [B-035]") {
  const auto reason = [](const std::string& join, const Rights& rights) {
    Socket socket;
    const Frames at_once = socket.say(join);
    Frames now = socket.questions.empty() ? at_once : socket.decide(rights);
    CHECK(socket.replays.empty());
    return now.empty() ? socket.wait(6s)[0] : now[0];
  };
  const std::string invalid = refused("UnableToReplayMessages: Replay params are not valid");
  for (const char* value : {"null", "true", R"({"since":1})", "5"}) {
    const std::string join =
        R"(["1","1","realtime:a","phx_join",{"config":{"broadcast":{"replay":)" + std::string(value) + "}}}]";
    CHECK(reason(join, {}) == refused("UnableToReplayMessages: Replay is not allowed for public channels"));
  }
  for (const char* bad :
       {"{}", R"({"since":"1"})", R"({"since":1.5})", R"({"since":null})", R"({"since":253402300800000})",
        R"({"since":-62167219200001})", R"({"since":1,"limit":"5"})", R"({"since":1,"limit":true})"}) {
    CHECK(reason(join_with(bad), kReader) == invalid);
  }
  CHECK(reason(R"(["1","1","realtime:a","phx_join",{"config":{"private":true,"presence":{"enabled":true},)"
               R"("broadcast":{"replay":{"since":1}}}}])",
               {.broadcast_read = false, .presence_read = true}) == refused("Unauthorized: " + kNoRead));
  CHECK(reason(join_with("null"), kReader) == kJoined);
  CHECK(reason(join_with("true"), kReader) == kJoined);
}

TEST_CASE("a replay that fails refuses the join, and leaves no seat behind [B-035]") {
  Reader socket;
  CHECK(socket.table.seats() == 1);
  CHECK(socket.replay(fault(RightsFaultKind::kCancelled, "too slow")).empty());
  CHECK(socket.table.seats() == 0);
  CHECK(socket.wait(4s).empty());
  CHECK(socket.wait(2s) == Frames{kFailed});
  CHECK(socket.logged == Frames{"UnableToReplayMessages"});
  CHECK(socket.replays_failed == 1);
  CHECK(socket.joins_refused == 1);
  CHECK(socket.set.is_empty());
}

TEST_CASE("bytes are replayed as a binary frame, and not at all where there is none [B-037] [P-146]") {
  Reader socket;
  const Frames told = socket.replay(Replay{{old_bytes("i1"), old_bytes("i2", std::string(256, 'e')), old("i3", "3")}});
  CHECK(told == Frames{kJoined, std::string("\4\12\1\33\0", 5) + R"(realtime:ae{"id":"i1","replayed":true})" + "\xff",
                       replayed("i3", "3")});
  Reader older(R"({"topic":"realtime:a","event":"phx_join","payload":{"config":{"private":true,"broadcast":{"replay":)"
               R"({"since":1}}}},"ref":"1"})",
               phoenix::Version::kV1);
  const Frames less = older.replay(Replay{{old_bytes("i1"), old("i2", "2")}});
  REQUIRE(less.size() == 2);
  CHECK(less[1] ==
        R"({"topic":"realtime:a","event":"broadcast","payload":{"type":"broadcast","event":"e\"","payload":2,)"
        R"("meta":{"id":"i2","replayed":true}},"ref":null})");
}

TEST_CASE("what comes while old messages are looked for is told behind them, and nothing twice [B-036] [P-145]") {
  Reader socket;
  REQUIRE(socket.topic().subscribers.size() == 1);
  const ChannelReplay* replay = socket.topic().subscribers[0].replay;
  REQUIRE(replay != nullptr);
  CHECK(replay->is_awaited);
  CHECK(socket.topic().subscribers[0].presence_news == PresenceNews::kNot);
  socket.set.keep_live("realtime:a", live("i2", "live i2"));
  socket.set.keep_live("realtime:a", live("", "of a client"));
  socket.set.keep_live("realtime:a", live("i3", "live i3"));
  socket.set.keep_live("realtime:b", live("i4", "for nobody"));
  CHECK(socket.replay(Replay{{old("i1", "1"), old("i2", "2")}}) ==
        Frames{kJoined, replayed("i1", "1"), replayed("i2", "2"), "of a client", "live i3"});
  CHECK(socket.counted_events == 2);
  // It is remembered as long as the channel lives.
  CHECK(socket.topic().subscribers[0].replay == replay);
  CHECK(!replay->is_awaited);
  CHECK(replay->has("i1"));
  CHECK(replay->has("i2"));
  CHECK(!replay->has("i3"));
  CHECK(!replay->has(""));
  socket.say(R"(["1","5","realtime:a","phx_leave",{}])");
  CHECK(socket.table.seats() == 0);
}

TEST_CASE("a topic that is busier than a socket may have kept for it fails the join, and lets go of it all") {
  Reader socket;
  socket.rules_.replay_live_bytes_max = 1'000;
  const auto frame = std::make_shared<const std::string>(600, 'x');
  socket.set.keep_live("realtime:a", {"", frame});
  CHECK(frame.use_count() == 2);
  socket.set.keep_live("realtime:a", {"", frame});
  socket.set.keep_live("realtime:a", {"", frame});
  CHECK(frame.use_count() == 1);
  CHECK(socket.table.seats() == 1);  // who delivers goes through them
  CHECK(socket.wait(6s) == Frames{kFailed});
  CHECK(socket.replay(Replay{{old("i1", "1")}}).empty());
  CHECK(socket.set.is_empty());
  CHECK(socket.table.seats() == 0);

  // Of all channels of a socket together; what was told is no longer kept.
  Reader two;
  two.rules_.replay_live_bytes_max = 1'000;
  two.set.keep_live("realtime:a", {"", frame});
  CHECK(two.replay(Replay{}).size() == 2);
  two.say(R"(["2","2","realtime:b","phx_join",{"config":{"private":true,"broadcast":{"replay":{"since":1}}}}])");
  two.decide(kReader);
  two.set.keep_live("realtime:b", {"", frame});
  CHECK(two.replay(Replay{}).size() == 2);
}

TEST_CASE("what a client says meanwhile waits, and counts the channel as one of its own") {
  Reader socket;
  socket.record.limits.channels_per_client_max = 1;
  CHECK(socket.say(R"(["1","2","realtime:a","broadcast",{"x":1}])").empty());
  CHECK(socket.say(R"(["3","3","realtime:b","phx_join",{"config":{}}])").empty());
  CHECK(socket.replay(Replay{}) == Frames{kJoined});
  CHECK(socket.decide(Rights{.broadcast_write = true, .presence_write = false}) == Frames{R"(publish {"x":1})"});
  CHECK(socket.wait(6s)[0].find("ChannelRateLimitReached") != std::string::npos);
}

TEST_CASE("a client that leaves or joins again meanwhile has its answers in order") {
  Reader socket;
  CHECK(socket.say(R"(["1","2","realtime:a","phx_leave",{}])").empty());
  CHECK(socket.say(R"(["3","3","realtime:a","phx_join",{"config":{}}])").empty());
  const Frames all = socket.replay(Replay{{old("i1", "1")}});
  REQUIRE(all.size() == 5);
  CHECK(all[0] == kJoined);
  CHECK(all[1] == replayed("i1", "1"));
  CHECK(all[2].find(R"("ref":)") == std::string::npos);
  CHECK(all[2].starts_with(R"(["1","2","realtime:a","phx_reply")"));
  CHECK(all[3] == kClosed);
  CHECK(all[4].starts_with(R"(["3","3","realtime:a","phx_reply",{"status":"ok")"));
}

TEST_CASE("an answer that comes never or too late is one that failed, and one for a socket that drains is nobody's") {
  Reader socket;
  const AskReplay asked = socket.replays[0];
  CHECK(socket.wait(29s).empty());
  CHECK(socket.wait(7s) == Frames{kFailed});
  CHECK(socket.replay(Replay{{old("i1", "1")}}).empty());

  for (const bool is_drained : {true, false}) {
    Reader going;
    Actions actions;
    if (is_drained) {
      going.set.answer_refusals(actions);
    } else {
      going.set.disconnect(actions);
    }
    CHECK(going.table.seats() == 0);
    CHECK(going.replay(Replay{{old("i1", "1")}}).empty());
    CHECK(going.wait(1min).empty());
  }
}

TEST_CASE("a tenant that has filled up meanwhile has no room for who waited") {
  Reader socket;
  socket.has_room = false;
  CHECK(socket.replay(Replay{{old("i1", "1")}}).empty());
  CHECK(socket.wait(6s) == Frames{refused("ConnectionRateLimitReached: Too many connected users")});
}

TEST_CASE("old messages that are too many bytes together are left out, and the log says so") {
  Reader socket;
  CHECK(socket.replay(Replay{.messages = {old("i2", "2")}, .left_out = 1}) == Frames{kJoined, replayed("i2", "2")});
  CHECK(socket.logged == Frames{"UnableToReplayMessages"});
  CHECK(socket.replays_cut == 1);
  CHECK(socket.replays_failed == 0);
}

// --- whether rows of the database arrive

const std::string kReady =
    R"(["1",null,"realtime:a","system",{"extension":"system","status":"ok","message":"Replication connection established","channel":"a"}])";
const std::string kReadyJoin =
    R"(["1","1","realtime:a","phx_join",{"config":{"broadcast":{"replication_ready":true}}}])";

TEST_CASE("a channel that wants to know hears once that the replication is there, at once or when it is [B-032]") {
  Socket ready;
  ready.streaming = true;
  CHECK(ready.say(kReadyJoin) == Frames{kJoined, kReady});
  CHECK(ready.wait(2min).empty());

  Socket later;
  CHECK(later.say(kReadyJoin) == Frames{kJoined});
  CHECK(later.wait(10s).empty());
  later.streaming = true;
  CHECK(later.wait(600ms) == Frames{kReady});
  later.streaming = false;
  CHECK(later.wait(2min).empty());
  CHECK(later.set.channels() == 1);
}

TEST_CASE("a channel that waits for a replication that never comes is closed when its time is up [B-032]") {
  Socket socket;
  socket.say(kReadyJoin);
  CHECK(socket.wait(59s).empty());
  CHECK(socket.wait(2s) == Frames{system_error("Replication connection was not established in time"), kClosed});
}

TEST_CASE("a token that expires while its channel waits for the replication ends it in time") {
  Socket socket;
  socket.say(R"(["1","1","realtime:a","phx_join",{"config":{"broadcast":{"replication_ready":true}},)"
             R"("access_token":"short"}])");
  CHECK(socket.wait(9s).empty());
  CHECK(socket.wait(2s) == Frames{system_error("Token has expired 0 seconds ago"), kClosed});
}

TEST_CASE("who does not want to know is told nothing of the replication") {
  Socket socket;
  socket.streaming = true;
  CHECK(socket.say(join_with("null", R"(,"replication_ready":false)")).empty());
  CHECK(socket.decide(kReader) == Frames{kJoined});
  CHECK(socket.wait(2min).empty());
}

}  // namespace
}  // namespace rt::channels
