// Replay: a join waits for the messages of before, and is told them right behind its reply (protocol.md 5.7).

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "domain/channels/channel_set.h"
#include "domain/channels/permissions.h"
#include "domain/channels/replay.h"

namespace rt::channels {
namespace {

constexpr std::int64_t kReplayLimitMax = 25;
constexpr std::string_view kFailedCode = "UnableToReplayMessages";
constexpr std::string_view kFailed = "Realtime was unable to replay messages";

// Milliseconds of the years 0 to 9999.
bool is_in_calendar(std::int64_t since) { return since >= -62'167'219'200'000 && since < 253'402'300'800'000; }

std::string metadata_of(const StoredMessage& message) {
  return R"({"id":)" + json::quoted(message.id) + R"(,"replayed":true})";
}

}  // namespace

Result<std::optional<ReplayQuestion>, ReplayFault> wanted_replay(const JoinRequest& request, const Rights& rights,
                                                                 std::string_view sub_topic) {
  const auto refuse = [](std::string_view code, std::string text) {
    return tl::make_unexpected(ReplayFault{code, std::move(text)});
  };
  if (!request.replay) return std::nullopt;
  if (!request.is_private) return refuse(kFailedCode, "Replay is not allowed for public channels");
  if (rights.broadcast_read != true) return refuse("Unauthorized", no_read_right(sub_topic));
  const json::Value replay(*request.replay);
  if (!replay.is_object()) return std::nullopt;
  const auto since = replay.member("since");
  const auto limit = replay.member("limit");
  const bool has_limit = limit && !limit->is_null() && limit->type() != json::Type::kFalse;
  const auto from = since ? since->integer() : std::nullopt;
  const auto most = has_limit ? limit->integer() : kReplayLimitMax;
  if (!from || !is_in_calendar(*from) || !most) return refuse(kFailedCode, "Replay params are not valid");
  return ReplayQuestion{
      .topic = std::string(sub_topic), .since = *from, .limit = std::clamp<std::int64_t>(*most, 1, kReplayLimitMax)};
}

void ChannelSet::ask_replay(std::unique_ptr<Channel> channel, WaitingFrame join, std::string close_of_replaced,
                            ReplayQuestion question, Actions& out) {
  channel->replay = std::make_unique<ChannelReplay>();
  channel->seat.set_replay(channel->replay.get());
  std::string topic = channel->topic();
  question.bytes_max = host_.rules().replay_bytes_max;
  auto held = std::make_unique<HeldTopic>(
      *this, topic, PendingReplay{std::move(join), std::move(close_of_replaced), std::move(channel)});
  held->ticket = ++last_ticket_;
  out.push_back(AskReplay{std::move(topic), held->ticket, std::move(question)});
  hold(std::move(held), host_.rules().replay_timeout);
}

// Nothing may end here: whoever delivers goes through the subscribers of the topic.
void ChannelSet::keep_live(std::string_view topic, LiveMessage message) {
  const auto found = held_.find(topic);
  auto* const pending = found == held_.end() ? nullptr : std::get_if<PendingReplay>(&found->second->why);
  if (pending == nullptr || pending->is_given_up) return;
  if (live_bytes_ + message.bytes() > host_.rules().replay_live_bytes_max) {
    pending->is_given_up = true;
    live_bytes_ -= std::exchange(pending->live_bytes, 0);
    pending->live = {};
    found->second->due.set(host_.wheel(), host_.now());
    return;
  }
  pending->live_bytes += message.bytes();
  live_bytes_ += message.bytes();
  pending->live.push_back(std::move(message));
}

void ChannelSet::on_replayed(std::string_view topic, std::uint64_t ticket, ReplayAnswer answer, Actions& out) {
  const auto found = held_.find(topic);
  if (found == held_.end() || found->second->ticket != ticket) return;
  const std::unique_ptr<HeldTopic> held = take(*found->second);
  on_replay(std::get<PendingReplay>(held->why), std::move(answer), out);
  work_off(*held, out);
}

// The join goes on from where it stopped.
void ChannelSet::on_replay(PendingReplay& pending, ReplayAnswer answer, Actions& out) {
  phoenix::Decoder decoder;
  const auto message = decoder.decode(form_.version, pending.join.opcode, pending.join.bytes);
  RT_CHECK(message && message->topic);
  const auto request = parse_join(std::get<phoenix::JsonPayload>(message->payload));
  RT_CHECK(request);
  const auto refuse = [&](JoinFault fault) {
    fault.holds_slot = true;
    pending.channel.reset();
    refuse_join(*message, fault, std::move(pending.close_of_replaced), out);
  };
  if (pending.is_given_up) {
    answer = tl::make_unexpected(
        RightsFault{RightsFaultKind::kOther, "more was sent to the topic meanwhile than is kept for a socket"});
  }
  if (!answer) {
    host_.note_replay_failed();
    return refuse({.code = kFailedCode,
                   .reason = std::string(kFailedCode) + ": " + std::string(kFailed),
                   .log_text = std::string(kFailed) + ": " + answer.error().text});
  }
  // Others may have taken the room meanwhile.
  if (!host_.user_has_room()) return refuse(no_room_for_user());
  ChannelReplay& replay = *pending.channel->replay;
  replay.is_awaited = false;
  for (const StoredMessage& old : answer->messages) replay.ids.push_back(old.id);
  enter(*message, *request, std::move(pending.channel), std::move(pending.close_of_replaced),
        {*std::move(answer), std::move(pending.live)}, out);
}

// They do not count as events, those that came meanwhile do.
void ChannelSet::tell_past(const Channel& channel, Past past, Actions& out) {
  if (channel.replay == nullptr) return;
  for (const StoredMessage& old : past.replay.messages) push_replayed(channel, old, out);
  host_.note_replayed(past.replay.messages.size(), past.replay.left_out);
  if (past.replay.left_out > 0) {
    out.push_back(LogLine{LogLevel::kWarning, kFailedCode, channel.topic(),
                          "left the oldest " + std::to_string(past.replay.left_out) +
                              " messages out of a replay, because all of them are too large together: ask for fewer",
                          channel.token});
  }
  std::uint64_t deliveries = 0;
  for (LiveMessage& live : past.live) {
    if (channel.replay->has(live.id)) continue;
    out.push_back(SendShared{std::move(live.frame)});
    ++deliveries;
  }
  if (deliveries > 0) host_.count_deliveries(deliveries);
}

void ChannelSet::push_replayed(const Channel& channel, const StoredMessage& old, Actions& out) {
  const std::string metadata = metadata_of(old);
  if (old.kind == StoredBroadcast::Kind::kJson) {
    std::string payload = R"({"type":"broadcast","event":)";
    json::append_quoted(payload, old.event);
    payload.append(",\"payload\":").append(old.payload).append(",\"meta\":").append(metadata).append("}");
    return send({.join_ref = channel.join_ref, .topic = channel.topic(), .event = "broadcast", .payload = payload},
                out);
  }
  if (form_.version == phoenix::Version::kV1) return;  // it has no form for bytes
  auto frame = phoenix::encode_user_broadcast({channel.topic(), old.event, metadata, false, old.payload});
  if (frame) {
    out.push_back(SendFrame{*std::move(frame)});
  } else {
    out.push_back(Count{Dropped::kFrameLimit});
  }
}

}  // namespace rt::channels
