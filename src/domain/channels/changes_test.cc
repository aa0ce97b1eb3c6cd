#include <doctest/doctest.h>

#include "domain/channels/channel_set.h"
#include "testing/channel_socket.h"

namespace rt::channels {
namespace {

using namespace testing;

constexpr auto kOk = ChangesNotice::Status::kOk;
constexpr auto kError = ChangesNotice::Status::kError;
using Numbers = std::vector<std::uint64_t>;

const std::string kTodos = R"({"event":"*","schema":"public","table":"todos"})";
const std::string kNotes = R"({"event":"INSERT","schema":"public","table":"notes"})";

std::string join(const std::string& entries, const std::string& config = {}, const std::string& ref = "1") {
  return R"([")" + ref + R"(",")" + ref + R"(","realtime:a","phx_join",{"config":{)" + config +
         R"("postgres_changes":[)" + entries + "]}}]";
}
std::string refresh(const std::string& token) {
  return R"(["1","5","realtime:a","access_token",{"access_token":")" + token + R"("}])";
}
std::string changes_notice(const std::string& status, const std::string& message) {
  return R"(["1",null,"realtime:a","system",{"extension":"postgres_changes","status":")" + status + R"(","message":")" +
         message + R"(","channel":"a"}])";
}
std::vector<std::string> tokens_of(const Socket& socket) {
  std::vector<std::string> out;
  for (const ChangesQuestion& question : socket.subscriptions) out.push_back(question.token->text);
  return out;
}

TEST_CASE("a join with change entries is answered with their ids, and subscribes all of them under these [PC-001]") {
  Socket socket;
  const Frames frames = socket.say(join(kTodos + "," + kNotes + "," + kTodos));
  REQUIRE(socket.subscriptions.size() == 1);
  const ChangesQuestion& question = socket.subscriptions[0];
  CHECK(question.id.number == 1);
  CHECK(question.topic == "realtime:a");
  CHECK(question.form == ChangeForm::kWithIds);
  CHECK(question.token->text == "good");
  REQUIRE(question.entries.size() == 3);
  CHECK(question.entries[0].text == kTodos);
  CHECK(question.entries[1].text == kNotes);
  CHECK(question.entries[0].id == question.entries[2].id);
  CHECK(question.entries[0].id != question.entries[1].id);
  std::string echo;
  for (const ChangeEntry& entry : question.entries)
    echo += (echo.empty() ? "{\"id\":" : ",{\"id\":") + std::to_string(entry.id) + "," + entry.text.substr(1);
  CHECK(frames ==
        Frames{R"(["1","1","realtime:a","phx_reply",{"status":"ok","response":{"postgres_changes":[)" + echo + "]}}]"});
}

TEST_CASE("a join that names no changes asks for none, nor does one that is refused [PC-002]") {
  Socket socket;
  socket.say(join(""));
  socket.say(join("null"));
  socket.say(R"(["1","1","realtime:b","phx_join",{"config":null}])");
  socket.say(join(kTodos + ",7"));
  socket.say(R"(["1","1","realtime:c","phx_join",{"config":{"postgres_changes":[{}]},"access_token":"x"}])");
  CHECK(socket.subscriptions.empty());
  CHECK(socket.unsubscribed.empty());
}

TEST_CASE("a join of the old API always asks for what its name says, in the old form") {
  Socket socket;
  const Frames frames = socket.say(R"(["1","1","realtime:public:todos:id=eq.1","phx_join",{}])");
  REQUIRE(socket.subscriptions.size() == 1);
  const ChangesQuestion& question = socket.subscriptions[0];
  CHECK(question.form == ChangeForm::kBare);
  CHECK(question.topic == "realtime:public:todos:id=eq.1");
  REQUIRE(question.entries.size() == 1);
  CHECK(question.entries[0].text == R"({"schema":"public","table":"todos","filter":"id=eq.1"})");
  REQUIRE(frames.size() == 1);
  CHECK(frames[0].find(R"([{"id":)" + std::to_string(question.entries[0].id) + R"(,"schema":"public")") !=
        std::string::npos);
}

TEST_CASE("what became of the subscriptions is told to the channel, as often as it is said [PC-003] [P-176]") {
  Socket socket;
  socket.say(join(kTodos));
  CHECK(socket.notify(1, kOk, "Subscribed to PostgreSQL") == Frames{changes_notice("ok", "Subscribed to PostgreSQL")});
  CHECK(socket.notify(1, kOk, "Subscribed to PostgreSQL") == Frames{changes_notice("ok", "Subscribed to PostgreSQL")});
  CHECK(socket.logged.empty());
  CHECK(socket.notify(1, kError, R"(no "such" table)") == Frames{changes_notice("error", R"(no \"such\" table)")});
  CHECK(socket.logged == Frames{"RealtimeDisabledForConfiguration"});
  CHECK(socket.unsubscribed.empty());
  CHECK(socket.set.channels() == 1);
}

TEST_CASE("version 1 hears of its subscriptions in its own form") {
  Socket socket(phoenix::Version::kV1);
  socket.say(R"({"topic":"realtime:a","event":"phx_join","payload":{},"ref":"1"})");
  CHECK(socket.notify(1, kOk, "Subscribed to PostgreSQL") ==
        Frames{R"({"topic":"realtime:a","event":"system","payload":{"extension":"postgres_changes","status":"ok",)"
               R"("message":"Subscribed to PostgreSQL","channel":"a"},"ref":null})"});
}

TEST_CASE("a channel that has ended is told of no more changes, however it ended") {
  Socket left;
  left.say(join(kTodos));
  left.say(R"(["1","2","realtime:a","phx_leave",{}])");
  CHECK(left.unsubscribed == Numbers{1});
  CHECK(left.notify(1, kOk, "late").empty());

  Socket replaced;
  replaced.say(join(kTodos));
  replaced.say(join(kNotes, {}, "2"));
  CHECK(replaced.unsubscribed == Numbers{1});
  REQUIRE(replaced.subscriptions.size() == 2);
  CHECK(replaced.subscriptions[1].id.number == 2);
  CHECK(replaced.notify(1, kError, "late").empty());
  CHECK(replaced.logged.empty());
  CHECK(replaced.notify(2, kOk, "in time").size() == 1);

  Socket refused;
  refused.say(join(kTodos));
  refused.say(R"(["2","2","realtime:a","phx_join",{"config":{},"access_token":"x"}])");
  CHECK(refused.unsubscribed == Numbers{1});

  Socket expired;
  expired.say(join(kTodos));
  expired.say(refresh("short"));
  expired.wait(11s);
  CHECK(expired.unsubscribed == Numbers{1});

  Socket disconnected;
  disconnected.say(join(kTodos));
  Actions actions;
  disconnected.set.disconnect(actions);
  CHECK(disconnected.unsubscribed == Numbers{1});

  Socket gone;
  {
    ChannelSet set(gone, 8, {}, gone.token("good", 3600));
    set.handle(ws::Opcode::kText, join(kTodos), actions);
  }
  CHECK(gone.unsubscribed == Numbers{1});
}

TEST_CASE("a new token renews the subscriptions under the same ids at once, the same token does not [PC-024] [P-205]") {
  Socket socket;
  socket.say(join(kTodos + "," + kNotes));
  CHECK(socket.say(refresh("good")).empty());
  CHECK(socket.subscriptions.size() == 1);
  CHECK(socket.say(refresh("better")).empty());
  REQUIRE(socket.subscriptions.size() == 2);
  const ChangesQuestion& before = socket.subscriptions[0];
  const ChangesQuestion& now = socket.subscriptions[1];
  CHECK(now.id == before.id);
  CHECK(now.token->text == "better");
  REQUIRE(now.entries.size() == 2);
  CHECK(now.entries[1].id == before.entries[1].id);
  CHECK(now.entries[1].text == before.entries[1].text);
  CHECK(socket.notify(1, kOk, "Subscribed to PostgreSQL").size() == 1);
}

TEST_CASE("of tokens that follow each other quickly the last one counts, when the interval is over") {
  Socket socket;
  socket.rules_.changes_renewal_interval = 1s;
  socket.say(join(kTodos));
  for (int i = 0; i < 10; ++i) {
    socket.say(refresh("better"));
    socket.say(refresh("good"));
  }
  CHECK(tokens_of(socket) == Frames{"good", "better"});
  CHECK(socket.wait(2s).empty());
  CHECK(tokens_of(socket) == Frames{"good", "better", "good"});
  socket.wait(2s);
  socket.say(refresh("better"));
  CHECK(tokens_of(socket) == Frames{"good", "better", "good", "better"});
  socket.wait(5s);
  CHECK(socket.subscriptions.size() == 4);
}

TEST_CASE("a private channel renews its subscriptions once its new token may still read, and subscribes when it may") {
  Socket socket;
  socket.say(join(kTodos, R"("private":true,)"));
  CHECK(socket.subscriptions.empty());
  CHECK(socket.decide(kReader).size() == 1);
  CHECK(tokens_of(socket) == Frames{"good"});
  socket.say(refresh("better"));
  CHECK(socket.subscriptions.size() == 1);
  CHECK(socket.decide(kReader).empty());
  CHECK(tokens_of(socket) == Frames{"good", "better"});
  socket.wait(2s);
  socket.say(refresh("good"));
  socket.decide(Rights{.broadcast_read = false});
  CHECK(socket.subscriptions.size() == 2);
  CHECK(socket.unsubscribed == Numbers{1});
}

TEST_CASE("a join that waits for old messages subscribes once it is answered, and not at all when it is refused") {
  const std::string replaying = R"("private":true,"broadcast":{"replay":{"since":1}},)";
  Socket socket;
  socket.say(join(kTodos, replaying));
  socket.decide(kReader);
  CHECK(socket.subscriptions.empty());
  CHECK(socket.replay(Replay{}).size() == 1);
  CHECK(socket.subscriptions.size() == 1);

  Socket refused;
  refused.say(join(kTodos, replaying));
  refused.decide(kReader);
  refused.replay(fault(RightsFaultKind::kOther));
  CHECK(refused.subscriptions.empty());
  CHECK(refused.unsubscribed.empty());
}

TEST_CASE("change entries count as memory of the socket for as long as their channel lives") {
  Socket socket;
  socket.rules_.socket_bytes_max = 10'000;
  const std::string large = R"({"schema":")" + std::string(6'000, 'x') + R"("})";
  for (int round = 0; round < 5; ++round) {
    CHECK(socket.say(join(large)).size() == 1);
    CHECK(socket.say(R"(["1","2","realtime:a","phx_leave",{}])").size() == 2);
  }
  CHECK(socket.say(join(large + "," + large)) == Frames{"cut"});
  CHECK(socket.subscriptions.size() == 5);
  CHECK(socket.unsubscribed.size() == 5);
}

}  // namespace
}  // namespace rt::channels
