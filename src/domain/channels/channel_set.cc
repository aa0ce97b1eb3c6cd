#include "domain/channels/channel_set.h"

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "base/check.h"
#include "protocol/json/value.h"

namespace rt::channels {
namespace {

constexpr std::string_view kUnmatched = R"({"reason":"unmatched topic"})";

}  // namespace

Channel::Channel(ChannelSet& owner, TopicTable& topics, const TopicKey& key, SocketId socket, const FrameForm& form)
    : set(owner),
      deadline(
          [](void* channel) { static_cast<Channel*>(channel)->set.on_channel_due(*static_cast<Channel*>(channel)); },
          this),
      seat(topics, key, socket, form) {}

Channel::~Channel() {
  if (presence != nullptr) set.leave_presence(*this);
  if (changes != nullptr) set.unsubscribe_from_changes(*this);
}

HeldTopic::HeldTopic(ChannelSet& owner, std::string name, Why reason)
    : set(owner),
      topic(std::move(name)),
      why(std::move(reason)),
      due([](void* held) { static_cast<HeldTopic*>(held)->set.on_held_due(*static_cast<HeldTopic*>(held)); }, this) {}

std::size_t HeldTopic::bytes() const {
  std::size_t bytes = sizeof(HeldTopic) + topic.size();
  if (const auto* refusal = std::get_if<Refusal>(&why))
    bytes += refusal->reply.size() + refusal->close_of_replaced.size();
  if (const auto* join = std::get_if<PendingJoin>(&why))
    bytes += join->frame.bytes.size() + join->token->text.size() + join->close_of_replaced.size();
  if (const auto* replay = std::get_if<PendingReplay>(&why))
    bytes += replay->join.bytes.size() + replay->channel->bytes() + replay->close_of_replaced.size();
  return bytes;
}

bool HeldTopic::holds_slot() const {
  if (const auto* refusal = std::get_if<Refusal>(&why)) return refusal->holds_slot;
  return std::holds_alternative<PendingJoin>(why) || std::holds_alternative<PendingReplay>(why);
}

ChannelSet::ChannelSet(ChannelHost& host, SocketId socket, const FrameForm& form, TokenRef connection_token)
    : host_(host),
      socket_(socket),
      form_(form),
      connection_token_(std::move(connection_token)),
      channels_(0, TopicHash{host.topics().hash_key()}),
      held_(0, TopicHash{host.topics().hash_key()}) {}

ChannelSet::~ChannelSet() = default;

void ChannelSet::handle(ws::Opcode opcode, std::string_view frame, Actions& out) {
  const auto message = decoder_.decode(form_.version, opcode, frame);
  if (!message) {
    out.push_back(Count{Dropped::kMalformedFrame});
    out.push_back(LogLine{LogLevel::kError,
                          "MalformedWebSocketMessage",
                          {},
                          "dropped a frame that is not a message of this protocol version"});
    return;
  }
  frame_ = frame;
  opcode_ = opcode;
  route(*message, out);
}

void ChannelSet::route(const Message& message, Actions& out) {
  if (!message.topic) return on_unjoined(message, out);
  if (const auto held = held_.find(*message.topic); held != held_.end()) {
    return defer(*held->second, opcode_, frame_);
  }
  if (message.event == "phx_join") return join(message, out);
  if (Channel* channel = find(*message.topic)) return on_joined(*channel, message, out);
  on_unjoined(message, out);
}

void ChannelSet::on_unjoined(const Message& message, Actions& out) {
  if (message.topic == "phoenix" && message.event == "heartbeat")
    return reply(phoenix::kNull, message, "ok", "{}", out);
  if (message.event == "phx_leave") return reply(message.join_ref, message, "ok", "{}", out);
  reply(phoenix::kNull, message, "error", kUnmatched, out);
}

// Whatever the message's join_ref is: clients send tokens and broadcasts without one.
void ChannelSet::on_joined(Channel& channel, const Message& message, Actions& out) {
  if (const auto needed = rights_needed(channel, message)) return ask(channel, *needed, PendingRights::For::kPush, out);
  host_.note_message();
  if (message.event == "broadcast") return broadcast(channel, message, out);
  if (message.event == "presence") return presence(channel, message, channel.seat.rights(), out);
  if (message.event == "access_token") return refresh_token(channel, message, out);
  if (message.event == "phx_leave") return leave(channel, message, out);
  host_.count_event();
  out.push_back(
      LogLine{LogLevel::kInfo, "UnknownEvent", channel.topic(), "ignored an event that channels do not know"});
}

void ChannelSet::leave(Channel& channel, const Message& message, Actions& out) {
  const bool is_stale = message.join_ref != phoenix::kNull && channel.recorded_join_ref != phoenix::kNull &&
                        message.join_ref != channel.recorded_join_ref;
  if (is_stale) return;
  reply(channel.join_ref, message, "ok", "{}", out);
  out.push_back(SendFrame{close_frame_of(channel)});
  remove(channel);
}

void ChannelSet::reply(std::string_view join_ref, const Message& message, std::string_view status,
                       std::string_view response, Actions& out) {
  std::string payload = "{\"status\":\"";
  payload.append(status).append("\",\"response\":").append(response).append("}");
  send({.join_ref = join_ref,
        .ref = message.ref,
        .topic = message.topic.value_or(""),
        .topic_json = message.topic ? std::string_view() : message.topic_json,
        .event = "phx_reply",
        .payload = payload},
       out);
}

void ChannelSet::send(const phoenix::ServerMessage& message, Actions& out) {
  out.push_back(SendFrame{phoenix::encode(form_.version, message)});
}

void ChannelSet::shut_down(Channel& channel, std::string_view reason, Actions& out) {
  out.push_back(LogLine{LogLevel::kWarning, "ChannelShutdown", channel.topic(), std::string(reason), channel.token});
  end(channel, reason, out);
}

void ChannelSet::end(std::string_view topic, std::string_view reason, Actions& out) {
  if (Channel* channel = find(topic)) end(*channel, reason, out);
}

// The sequence by which the server ends a channel: why, then the close.
void ChannelSet::end(Channel& channel, std::string_view reason, Actions& out) {
  const std::string payload = R"({"extension":"system","status":"error","message":)" + json::quoted(reason) +
                              ",\"channel\":" + json::quoted(channel.sub_topic()) + "}";
  send({.join_ref = channel.join_ref, .topic = channel.topic(), .event = "system", .payload = payload}, out);
  out.push_back(SendFrame{close_frame_of(channel)});
  const std::string topic = channel.topic();
  remove(channel);
  // What waits for its rights need not wait any longer.
  if (const auto held = held_.find(topic); held != held_.end()) work_off(*take(*held->second), out);
}

void ChannelSet::disconnect(Actions& out) {
  for (const auto& [topic, channel] : channels_) {
    send({.topic = topic,
          .event = "system",
          .payload = R"({"extension":"system","status":"ok","message":"Server requested disconnect"})"},
         out);
  }
  while (!channels_.empty()) remove(*channels_.begin()->second);
  held_.clear();
  waiting_bytes_ = waiting_slots_ = live_bytes_ = 0;
  out.push_back(CloseSocket{ws::CloseCode::kServiceRestart});
}

Channel* ChannelSet::find(std::string_view topic) {
  const auto found = channels_.find(topic);
  return found == channels_.end() ? nullptr : found->second.get();
}

void ChannelSet::remove(Channel& channel) {
  const auto found = channels_.find(std::string_view(channel.topic()));
  RT_CHECK(found != channels_.end() && found->second.get() == &channel);
  // Its key lives in the topic, so the entry goes first.
  const std::unique_ptr<Channel> removed = std::move(found->second);
  channel_bytes_ -= removed->counted_bytes;
  channels_.erase(found);
}

void ChannelSet::on_channel_due(Channel& channel) {
  Actions out;
  const Time now = host_.now();
  tell_if_streaming(channel, out);
  if (channel.changes != nullptr && channel.changes->has_to_renew(now)) renew_changes(channel);
  if (channel.replication_ready_by && now >= *channel.replication_ready_by) {
    shut_down(channel, "Replication connection was not established in time", out);
  } else if (now < channel.confirm_at) {
    wait(channel);
  } else if (const auto confirmed = host_.confirm(*channel.token)) {
    confirm_later(channel);
  } else {
    shut_down(channel, describe(confirmed.error()), out);
  }
  host_.perform(out);
}

HeldTopic& ChannelSet::hold(std::unique_ptr<HeldTopic> held, Duration how_long) {
  HeldTopic& out = *held;
  waiting_bytes_ += out.bytes();
  if (out.holds_slot()) ++waiting_slots_;
  out.due.set(host_.wheel(), host_.now() + how_long);
  held_.emplace(std::string_view(out.topic), std::move(held));
  return out;
}

std::unique_ptr<HeldTopic> ChannelSet::take(HeldTopic& held) {
  const auto found = held_.find(std::string_view(held.topic));
  RT_CHECK(found != held_.end() && found->second.get() == &held);
  std::unique_ptr<HeldTopic> out = std::move(found->second);
  held_.erase(found);
  waiting_bytes_ -= out->bytes();
  if (out->holds_slot()) --waiting_slots_;
  if (const auto* replay = std::get_if<PendingReplay>(&out->why)) live_bytes_ -= replay->live_bytes;
  return out;
}

void ChannelSet::defer(HeldTopic& held, ws::Opcode opcode, std::string_view frame) {
  waiting_bytes_ += sizeof(WaitingFrame) + frame.size();
  held.waiting.push_back({opcode, std::string(frame)});
}

void ChannelSet::on_held_due(HeldTopic& held) {
  Actions out;
  if (std::holds_alternative<Refusal>(held.why)) {
    const auto due = take(held);
    answer(std::get<Refusal>(due->why), out);
    work_off(*due, out);
  } else {
    const auto late =
        tl::make_unexpected(RightsFault{RightsFaultKind::kUnavailable, "the database gave no answer in time"});
    const std::string topic = held.topic;
    if (std::holds_alternative<PendingReplay>(held.why)) {
      on_replayed(topic, held.ticket, late, out);
    } else {
      on_rights(topic, held.ticket, late, out);
    }
  }
  host_.perform(out);
}

void ChannelSet::answer(Refusal& refusal, Actions& out) {
  out.push_back(SendFrame{std::move(refusal.reply)});
  if (!refusal.close_of_replaced.empty()) out.push_back(SendFrame{std::move(refusal.close_of_replaced)});
  if (refusal.closes_socket) out.push_back(CloseSocket{ws::CloseCode::kGoingAway});
}

// What the client said meanwhile, until the topic is held again.
void ChannelSet::work_off(HeldTopic& held, Actions& out) {
  while (!held.waiting.empty()) {
    if (const auto again = held_.find(std::string_view(held.topic)); again != held_.end()) {
      std::ranges::move(held.waiting, std::back_inserter(again->second->waiting));
      return;
    }
    const WaitingFrame next = std::move(held.waiting.front());
    held.waiting.pop_front();
    waiting_bytes_ -= sizeof(WaitingFrame) + next.bytes.size();
    handle(next.opcode, next.bytes, out);
  }
}

void ChannelSet::answer_refusals(Actions& out) {
  // What waits behind a refusal may be a join that is refused in its turn, so this goes on until nothing waits; each
  // round works off at least one frame of each topic.
  while (!held_.empty()) {
    std::vector<HeldTopic*> all;
    for (auto& [topic, held] : held_) all.push_back(held.get());
    std::ranges::sort(all, {}, [](const HeldTopic* held) { return held->due.at(); });
    std::vector<std::unique_ptr<HeldTopic>> waiting;
    for (HeldTopic* held : all) waiting.push_back(take(*held));
    for (auto& held : waiting) {
      if (auto* refusal = std::get_if<Refusal>(&held->why)) {
        answer(*refusal, out);
        work_off(*held, out);
      } else {
        for (const WaitingFrame& frame : held->waiting) waiting_bytes_ -= sizeof(WaitingFrame) + frame.bytes.size();
      }
    }
  }
}

}  // namespace rt::channels
