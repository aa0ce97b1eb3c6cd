// The channels of one socket without the socket, and what its client is told.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "domain/channels/channel_set.h"
#include "testing/manual_clock.h"

namespace rt::channels::testing {

using namespace std::chrono_literals;

using Frames = std::vector<std::string>;

struct NoInterest : Interest {
  void begin(std::uint64_t) override {}
  void end(std::uint64_t) override {}
};

// One socket whose tokens are texts of this test: `good`, `better`, `short` (expires in 10 s), anything else is
// malformed.
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
    if (text == "better") return token("better", 3600);
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
  void count_deliveries(std::uint64_t broadcasts) override { counted_events += static_cast<int>(broadcasts); }
  void note_replayed(std::uint64_t messages, std::uint64_t left_out) override {
    replayed += static_cast<int>(messages);
    replays_cut += static_cast<int>(left_out);
  }
  void note_replay_failed() override { ++replays_failed; }
  bool is_streaming() override { return streaming; }
  int replayed = 0;
  int replays_failed = 0;
  int replays_cut = 0;
  bool streaming = false;
  std::uint64_t take_presence_id() override { return ++presence_ids; }
  std::string presence_key(std::uint64_t id) const override { return "made-" + std::to_string(id); }
  void ask_presence_state(const TopicKey&, std::uint64_t id) override { say_presence("state?", id); }
  void track(const TopicKey&, std::uint64_t id, const std::string& key, std::string_view payload) override {
    say_presence(("track " + key + " ").append(payload), id);
  }
  void untrack(const TopicKey&, std::uint64_t id) override { say_presence("untrack", id); }
  void leave_presence(const TopicKey&, std::uint64_t id) override { say_presence("leave", id); }
  bool presence_is_over_limit() override { return over_presence_limit; }
  void count_presence_state() override { ++presence_events; }
  void count_track(std::uint64_t) override { ++presence_events; }
  void note_presence_end(PresenceEnd) override { ++presence_ends; }
  void say_presence(const std::string& text, std::uint64_t id) { presence.push_back(std::to_string(id) + " " + text); }
  std::uint64_t presence_ids = 0;
  int presence_events = 0;
  int presence_ends = 0;
  bool over_presence_limit = false;
  std::vector<std::string> presence;  // what was said to its home
  std::uint64_t take_changes_id() override { return ++changes_ids; }
  void subscribe_to_changes(ChangesQuestion question) override { subscriptions.push_back(std::move(question)); }
  void unsubscribe_from_changes(std::uint64_t id) override { unsubscribed.push_back(id); }
  std::uint64_t changes_ids = 0;
  std::vector<ChangesQuestion> subscriptions;  // that the database was asked for
  std::vector<std::uint64_t> unsubscribed;
  // What a notice to the channel of that number leads to.
  std::vector<std::string> notify(std::uint64_t id, ChangesNotice::Status status, std::string message) {
    Actions actions;
    set.on_changes_notice("realtime:a", id, {status, std::move(message)}, actions);
    perform(actions);
    return std::exchange(frames, {});
  }
  void perform(Actions& actions) override {
    for (Action& action : actions) {
      if (const auto* fragment = std::get_if<SendFragment>(&action)) fragments.push_back(*fragment->frame);
      if (const auto* sent = std::get_if<SendFrame>(&action)) frames.push_back(payload_of(sent->frame));
      if (const auto* shared = std::get_if<SendShared>(&action)) frames.push_back(*shared->frame);
      if (std::holds_alternative<CutSocket>(action)) frames.push_back("cut");
      if (const auto* close = std::get_if<CloseSocket>(&action))
        frames.push_back("close " + std::to_string(static_cast<int>(close->code)));
      if (const auto* published = std::get_if<Publish>(&action)) {
        frames.push_back("publish " + published->message.payload +
                         (published->echo == Echo::kIncludeSender ? " to self too" : ""));
      }
      if (auto* asked = std::get_if<AskRights>(&action)) questions.push_back(std::move(*asked));
      if (auto* asked = std::get_if<AskReplay>(&action)) replays.push_back(std::move(*asked));
      if (const auto* line = std::get_if<LogLine>(&action)) logged.emplace_back(line->code);
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
  // The database answers the oldest question; what that led to.
  std::vector<std::string> decide(const RightsAnswer& answer) {
    if (questions.empty()) return {"nothing was asked"};
    const AskRights asked = std::move(questions.front());
    questions.erase(questions.begin());
    return decide(asked, answer);
  }
  std::vector<std::string> decide(const AskRights& asked, const RightsAnswer& answer) {
    Actions actions;
    set.on_rights(asked.topic, asked.ticket, answer, actions);
    perform(actions);
    return std::exchange(frames, {});
  }
  // The same of old messages.
  std::vector<std::string> replay(ReplayAnswer answer) {
    if (replays.empty()) return {"nothing was asked"};
    const AskReplay asked = std::move(replays.front());
    replays.erase(replays.begin());
    Actions actions;
    set.on_replayed(asked.topic, asked.ticket, std::move(answer), actions);
    perform(actions);
    return std::exchange(frames, {});
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
  std::vector<std::string> fragments;
  std::vector<AskRights> questions;
  std::vector<AskReplay> replays;
  std::vector<std::string> logged;  // codes
  ChannelSet set{*this, 7, {version, {}}, token("good", 3600)};
};

inline const std::string kJoined =
    R"(["1","1","realtime:a","phx_reply",{"status":"ok","response":{"postgres_changes":[]}}])";
inline const std::string kClosed = R"(["1","1","realtime:a","phx_close",{}])";
inline std::string system_error(const std::string& message) {
  return R"(["1",null,"realtime:a","system",{"extension":"system","status":"error","message":")" + message +
         R"(","channel":"a"}])";
}

inline const Rights kReader{.broadcast_read = true};
inline tl::unexpected<RightsFault> fault(RightsFaultKind kind, std::string text = {}) {
  return tl::make_unexpected(RightsFault{kind, std::move(text)});
}
inline std::string refused(const std::string& reason, const std::string& ref = "1") {
  return "[\"" + ref + "\",\"" + ref + R"(","realtime:a","phx_reply",{"status":"error","response":{"reason":")" +
         reason + R"("}}])";
}
inline const std::string kNoRead = "You do not have permissions to read from this Channel topic: a";

}  // namespace rt::channels::testing
