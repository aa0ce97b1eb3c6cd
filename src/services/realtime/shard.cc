#include "services/realtime/shard.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/check.h"
#include "services/realtime/fan_out.h"

namespace rt::realtime {
namespace {

// Worth a fraction of a turn; a worker delivers mail until its turn is over.
constexpr std::size_t kDisconnectsPerMail = 16;
constexpr std::size_t kSessionsPerMail = 4096;

class DeliverMail final : public net::Mail {
 public:
  DeliverMail(Shard& shard, std::shared_ptr<const Broadcast> broadcast, std::shared_ptr<LiveTenant> tenant)
      : shard_(shard), broadcast_(std::move(broadcast)), tenant_(std::move(tenant)) {}
  void deliver() override { shard_.deliver(*broadcast_, tenant_, 0); }

 private:
  Shard& shard_;
  std::shared_ptr<const Broadcast> broadcast_;
  std::shared_ptr<LiveTenant> tenant_;
};

class RightsMail final : public net::Mail {
 public:
  RightsMail(Shard& shard, net::ConnectionId connection, std::string topic, std::uint64_t ticket, RightsAnswer answer)
      : shard_(shard), connection_(connection), topic_(std::move(topic)), ticket_(ticket), answer_(std::move(answer)) {}
  void deliver() override { shard_.on_rights(connection_, topic_, ticket_, answer_); }

 private:
  Shard& shard_;
  const net::ConnectionId connection_;
  const std::string topic_;
  const std::uint64_t ticket_;
  const RightsAnswer answer_;
};

class ReplayMail final : public net::Mail {
 public:
  ReplayMail(Shard& shard, net::ConnectionId connection, std::string topic, std::uint64_t ticket, ReplayAnswer answer)
      : shard_(shard), connection_(connection), topic_(std::move(topic)), ticket_(ticket), answer_(std::move(answer)) {}
  void deliver() override { shard_.on_replayed(connection_, topic_, ticket_, std::move(answer_)); }

 private:
  Shard& shard_;
  const net::ConnectionId connection_;
  const std::string topic_;
  const std::uint64_t ticket_;
  ReplayAnswer answer_;
};

std::size_t bytes_of(const ReplayAnswer& answer) {
  std::size_t bytes = 0;
  if (!answer) return bytes;
  for (const StoredMessage& message : answer->messages)
    bytes += sizeof message + message.id.size() + message.event.size() + message.payload.size();
  return bytes;
}

}  // namespace

struct Shard::LateResponse {
  LateResponse(Shard& owner, Answer whom, http::Response what)
      : shard(owner), answer(std::move(whom)), response(std::move(what)), due(on_due, this) {}

  static void on_due(void* self) {
    auto& late = *static_cast<LateResponse*>(self);
    late.answer(std::move(late.response));
    late.shard.late_responses_.erase(late.position);
  }

  Shard& shard;
  Answer answer;
  http::Response response;
  std::list<LateResponse>::iterator position;
  Deadline due;
};

struct Shard::RateTick {
  RateTick(Shard& owner, std::shared_ptr<LiveTenant> metered, const RateKind& kind)
      : shard(owner), tenant(std::move(metered)), rate(kind), due(on_due, this) {}

  static void on_due(void* self) {
    auto& tick = *static_cast<RateTick*>(self);
    tick.shard.tick(tick);
  }

  Shard& shard;
  std::shared_ptr<LiveTenant> tenant;
  const RateKind& rate;  // one of the constants
  bool was_over = false;
  std::list<RateTick>::iterator position;
  Deadline due;
};

Shard::Shard(Node& node, net::Worker& worker)
    : node_(node),
      worker_(worker),
      interest_(node.interest, worker.index()),
      topics_(node.hash_key, interest_),
      tokens_(node.hash_key, node.config.claim_validators),
      deflater_(node.config.compression.value_or(ws::DeflateSettings{})),
      presence_(*this),
      changes_(*this),
      long_polls_(*this),
      sweep_due_([](void* shard) { static_cast<Shard*>(shard)->sweep(); }, this) {
  sweep_due_.set(worker_.wheel(), worker_.now() + node_.config.no_channel_timeout);
}

Shard::~Shard() {
  presence_.fall_silent();
  changes_.fall_silent();
}

void Shard::open(net::ConnectionId connection, std::string_view upgrade_response, SessionStart start) {
  RT_DCHECK(worker_.in_loop_thread());
  if (connection.slot >= sessions_.size()) sessions_.resize(connection.slot + 1);
  RT_CHECK(sessions_[connection.slot] == nullptr);
  start.serial = take_serial();
  const bool compresses = start.form.deflate.has_value();
  net::Traffic& traffic = start.tenant->usage(worker_.index()).traffic;
  sessions_[connection.slot] = std::make_unique<Session>(*this, connection, std::move(start));
  counters_.sessions.add();
  worker_.upgrade(
      connection, upgrade_response,
      {.compression = compresses ? net::Compression::kAgreed : net::Compression::kNone, .traffic = &traffic}, *this);
}

void Shard::respond_later(net::ConnectionId connection, http::Response response) {
  answer_later([this, connection](const http::Response& late) { worker_.respond(connection, late); },
               std::move(response));
}

void Shard::answer_later(Answer answer, http::Response response) {
  counters_.handshakes_refused.add();
  LateResponse& late = late_responses_.emplace_back(*this, std::move(answer), std::move(response));
  late.position = std::prev(late_responses_.end());
  late.due.set(worker_.wheel(), worker_.now() + node_.config.connect_error_backoff);
}

Session* Shard::find(net::ConnectionId connection) {
  if (is_long_poll(connection)) return long_polls_.find(connection);
  if (connection.slot >= sessions_.size()) return nullptr;
  Session* session = sessions_[connection.slot].get();
  return session != nullptr && session->connection() == connection ? session : nullptr;
}

Session* Shard::session_at(std::size_t place) {
  return place < sessions_.size() ? sessions_[place].get() : long_polls_.session_in(place - sessions_.size());
}

void Shard::send(net::ConnectionId connection, const net::FrameRef& frame) {
  if (is_long_poll(connection)) return long_polls_.send(connection, net::FrameRef(to_message(frame.bytes())));
  worker_.send(connection, frame);
}

void Shard::send_shared(net::ConnectionId connection, const net::FrameRef& frame) {
  is_long_poll(connection) ? long_polls_.send(connection, frame) : worker_.send(connection, frame);
}

void Shard::close(net::ConnectionId connection, ws::CloseCode code) {
  is_long_poll(connection) ? long_polls_.close(connection) : worker_.close(connection, code);
}

void Shard::cut(net::ConnectionId connection) {
  is_long_poll(connection) ? long_polls_.cut(connection) : worker_.cut(connection);
}

void Shard::resume_reading(net::ConnectionId connection) {
  is_long_poll(connection) ? long_polls_.go_on(connection) : worker_.resume_reading(connection);
}

net::Reading Shard::on_message(net::ConnectionId connection, ws::Opcode opcode, std::string_view payload) {
  Session* session = find(connection);
  RT_CHECK(session != nullptr);
  const net::Reading reading = session->on_message(opcode, payload);
  update_gauges();
  return reading;
}

void Shard::on_heard(std::chrono::nanoseconds took) {
  const std::uint64_t messages = std::exchange(messages_heard_, 0);
  if (messages > 0) counters_.messages.record(took.count() / static_cast<std::int64_t>(messages), messages);
}

void Shard::on_closed(net::ConnectionId connection) {
  RT_CHECK(find(connection) != nullptr);
  sessions_[connection.slot].reset();
  counters_.sessions.subtract();
  update_gauges();
}

void Shard::ask_rights(net::ConnectionId connection, std::string_view tenant, channels::AskRights question) {
  AnswerRights answer = [this, connection, topic = std::move(question.topic),
                         ticket = question.ticket](RightsAnswer said) {
    worker_.post(std::make_unique<RightsMail>(*this, connection, topic, ticket, std::move(said)));
  };
  if (!node_.ask_rights) return answer(tl::make_unexpected(RightsFault{RightsFaultKind::kUnavailable, {}}));
  node_.ask_rights(tenant, std::move(question.question), std::move(answer));
}

void Shard::on_rights(net::ConnectionId connection, std::string_view topic, std::uint64_t ticket,
                      const RightsAnswer& answer) {
  if (Session* session = find(connection)) session->on_rights(topic, ticket, answer);
  update_gauges();
}

void Shard::ask_replay(net::ConnectionId connection, std::string_view tenant, channels::AskReplay question) {
  AnswerReplay answer = [this, connection, topic = std::move(question.topic),
                         ticket = question.ticket](ReplayAnswer said) {
    const std::size_t bytes = bytes_of(said);
    worker_.post(std::make_unique<ReplayMail>(*this, connection, topic, ticket, std::move(said)), bytes);
  };
  if (!node_.ask_replay)
    return answer(tl::make_unexpected(RightsFault{RightsFaultKind::kUnavailable, "there is no database"}));
  node_.ask_replay(tenant, std::move(question.question), std::move(answer));
}

void Shard::on_replayed(net::ConnectionId connection, std::string_view topic, std::uint64_t ticket,
                        ReplayAnswer answer) {
  if (Session* session = find(connection)) session->on_replayed(topic, ticket, std::move(answer));
  update_gauges();
}

void Shard::note_published(const Message& message, LiveTenant& tenant) {
  counters_.published.add();
  const auto size = static_cast<std::int64_t>(message.payload_size);
  counters_.broadcasts.record(size);
  tenant.usage(worker_.index()).broadcasts.record(size);
}

void Shard::publish(Message message, const std::shared_ptr<LiveTenant>& tenant, SocketId but) {
  note_published(message, *tenant);
  const auto broadcast = std::make_shared<const Broadcast>(std::move(message));
  spread(broadcast, tenant, but);
}

void Shard::spread(const std::shared_ptr<const Broadcast>& broadcast, const std::shared_ptr<LiveTenant>& tenant,
                   SocketId but) {
  const std::size_t bytes = mail_bytes(*broadcast);
  const std::uint64_t workers = node_.interest.workers(broadcast->message().topic_hash);
  for (std::size_t i = 0; i < node_.shards.size(); ++i) {
    if ((workers >> i & 1) == 0) continue;
    Shard& shard = *node_.shards[i];
    if (&shard == this) {
      deliver(*broadcast, tenant, but);
    } else {
      worker_.post_to(shard.worker_, std::make_unique<DeliverMail>(shard, broadcast, tenant), bytes);
    }
  }
}

void Shard::deliver(const Broadcast& broadcast, const std::shared_ptr<LiveTenant>& tenant, SocketId but) {
  const Message& message = broadcast.message();
  const channels::Topic* topic = topics_.find(message.key(), message.topic_hash);
  if (topic == nullptr) return;
  if (message.kind == MessageKind::kPresenceDiff) return deliver_presence(broadcast, *topic, tenant);
  deliver_broadcast(broadcast, *topic, tenant, but);
}

// To those of the subscribers that it is for, and says which got it. The number of these.
template <class Takes, class Sent>
std::uint64_t Shard::fan_out(const Broadcast& broadcast, const channels::Topic& topic, Takes takes, Sent sent) {
  FanOut out(*this, broadcast, topic.subscribers.size());
  std::uint64_t deliveries = 0;
  for (const channels::Subscriber& subscriber : topic.subscribers) {
    if (!takes(subscriber) || !out.send(subscriber.socket, subscriber.form, subscriber.replay)) continue;
    ++deliveries;
    sent(subscriber);
  }
  return deliveries;
}

void Shard::keep_live(SocketId socket, std::string_view topic, channels::LiveMessage message) {
  Session* const session = find(connection_id(socket));
  if (session != nullptr) session->keep_live(topic, std::move(message));
}

void Shard::deliver_broadcast(const Broadcast& broadcast, const channels::Topic& topic,
                              const std::shared_ptr<LiveTenant>& tenant, SocketId but) {
  const bool is_over_rate = is_over(tenant, kEventRate);
  std::vector<SocketId> over_rate;
  const std::uint64_t deliveries = fan_out(
      broadcast, topic,
      [but, &joined_before = broadcast.message().joined_before](const channels::Subscriber& subscriber) {
        return subscriber.socket != but && subscriber.rights.broadcast_read == true &&
               (!joined_before || subscriber.seat->taken_at() < *joined_before);
      },
      [&](const channels::Subscriber& subscriber) {
        if (is_over_rate) over_rate.push_back(subscriber.socket);
      });
  count_deliveries(tenant, deliveries);
  if (!over_rate.empty()) end_channels(broadcast.message().topic, over_rate);
}

void Shard::count_deliveries(const std::shared_ptr<LiveTenant>& tenant, std::uint64_t n) {
  counters_.deliveries.add(n);
  count(tenant, kEventRate, n);
}

void Shard::deliver_presence(const Broadcast& broadcast, const channels::Topic& topic,
                             const std::shared_ptr<LiveTenant>& tenant) {
  using channels::PresenceNews;
  std::vector<SocketId> by_channel;
  const std::uint64_t deliveries = fan_out(
      broadcast, topic,
      [&](const channels::Subscriber& subscriber) {
        if (subscriber.rights.presence_read != true) return false;
        if (subscriber.presence_news == PresenceNews::kByChannel) by_channel.push_back(subscriber.socket);
        return subscriber.presence_news == PresenceNews::kShared;
      },
      [](const channels::Subscriber&) {});
  counters_.presence_deliveries.add(deliveries + by_channel.size());
  count(tenant, kPresenceRate, deliveries);
  for (const SocketId socket : by_channel) {
    Session* const session = find(connection_id(socket));
    if (session != nullptr) session->push_presence_diff(broadcast.message().topic, broadcast.payload_fragment());
  }
}

void Shard::give_presence_state(std::string_view topic, const presence::Member& member,
                                const presence::StateFragment& state) {
  Session* const session = find(connection_id(member.socket));
  if (session != nullptr) session->give_presence_state(topic, member.channel, state);
}

void Shard::refuse_presence(std::string_view topic, const presence::Member& member) {
  Session* const session = find(connection_id(member.socket));
  if (session != nullptr) session->refuse_presence(topic, member.channel);
  update_gauges();
}

void Shard::on_changes_notice(SocketId socket, std::string_view topic, std::uint64_t channel,
                              const ChangesNotice& notice) {
  Session* const session = find(connection_id(socket));
  if (session != nullptr) session->on_changes_notice(topic, channel, notice);
}

void Shard::count_undelivered(Undeliverable why) {
  if (why == Undeliverable::kFrameLimit) counters_.dropped_frame_limit.add();
  if (why == Undeliverable::kTextOnly) counters_.dropped_text_only.add();
}

void Shard::count_error(LiveTenant* tenant, std::string_view code) {
  counters_.errors.add(code);
  if (tenant != nullptr) tenant->usage(worker_.index()).errors.add(code);
}

void Shard::note_handshake(Transport transport, HandshakeResult result, phoenix::Version version) {
  const std::chrono::nanoseconds took = worker_.clock().now() - worker_.now();
  counters_.handshake_times(transport, result, version).record(took.count());
}

// They leave the topic by it, so nobody may be going through its subscribers.
void Shard::end_channels(const std::string& topic, const std::vector<SocketId>& sockets) {
  for (const SocketId socket : sockets) {
    Session* session = find(connection_id(socket));
    if (session == nullptr) continue;
    counters_.channels_over_event_rate.add();
    session->end_channel(topic, "Too many messages per second");
  }
  update_gauges();
}

void Shard::count(const std::shared_ptr<LiveTenant>& tenant, const RateKind& rate, std::uint64_t n) {
  RateMeter& meter = (*tenant).*rate.meter;
  if (meter.is_asleep()) wake(tenant, rate);
  meter.add(static_cast<std::size_t>(worker_.index()), n);
  (counters_.*rate.total).add(n);
}

bool Shard::is_over(const std::shared_ptr<LiveTenant>& tenant, const RateKind& rate) {
  RateMeter& meter = (*tenant).*rate.meter;
  if (meter.is_asleep()) wake(tenant, rate);
  return meter.is_over();
}

bool Shard::presence_is_over(const std::shared_ptr<LiveTenant>& tenant) {
  if (tenant->presence.is_asleep()) wake(tenant, kPresenceRate);
  const std::int64_t limit = tenant->record(worker_.index()).limits.presence_events_per_second_max;
  return tenant->presence.per_second() > static_cast<double>(limit);
}

void Shard::wake(const std::shared_ptr<LiveTenant>& tenant, const RateKind& rate) {
  if (!((*tenant).*rate.meter).claim(tenant->record(worker_.index()).limits.*rate.limit)) return;
  RateTick& tick = rate_ticks_.emplace_back(*this, tenant, rate);
  tick.position = std::prev(rate_ticks_.end());
  tick.due.set(worker_.wheel(), worker_.now() + ((*tick.tenant).*tick.rate.meter).interval());
  note_whether_over(tick);
}

void Shard::tick(RateTick& tick) {
  RateMeter& meter = (*tick.tenant).*tick.rate.meter;
  const bool goes_on = meter.tick(tick.tenant->record(worker_.index()).limits.*tick.rate.limit);
  note_whether_over(tick);
  log_usage(tick);
  if (goes_on) {
    tick.due.set(worker_.wheel(), worker_.now() + ((*tick.tenant).*tick.rate.meter).interval());
  } else {
    // Another worker may have claimed the meter, and raised it, since.
    if (tick.was_over) (counters_.*tick.rate.over_now).subtract();
    rate_ticks_.erase(tick.position);
  }
}

void Shard::log_usage(const RateTick& tick) {
  const std::uint64_t count = ((*tick.tenant).*tick.rate.meter).last_count();
  if (tick.rate.billed_as.empty() || count == 0 || !node_.config.logs_usage || !node_.log.enabled(LogLevel::kInfo))
    return;
  const std::int64_t limit = tick.tenant->record(worker_.index()).limits.*tick.rate.limit;
  const std::string measured = R"({"limit":)" + std::to_string(limit) + R"(,"sum":)" + std::to_string(count) + "}";
  node_.log.write(LogLevel::kInfo, {.tenant = tick.tenant->external_id, .measurements = measured},
                  "Billing metrics: " + std::string(tick.rate.billed_as));
}

// It is said once each time the limit is reached.
void Shard::note_whether_over(RateTick& tick) {
  const RateKind& rate = tick.rate;
  const bool is_over = ((*tick.tenant).*rate.meter).is_over();
  if (std::exchange(tick.was_over, is_over) == is_over) return;
  if (!is_over) return (counters_.*rate.over_now).subtract();
  (counters_.*rate.over_now).add();
  (counters_.*rate.triggers).add();
  if (rate.level >= LogLevel::kError) count_error(tick.tenant.get(), rate.code);
  log(rate.level, {.tenant = tick.tenant->external_id, .error_code = rate.code}, rate.text);
}

struct Shard::DisconnectMail final : public net::Mail {
  DisconnectMail(Shard& owner, std::shared_ptr<LiveTenant> disconnected, std::uint64_t before, std::size_t from)
      : shard(owner), tenant(std::move(disconnected)), serial(before), begin(from) {}
  void deliver() override { shard.disconnect(tenant, serial, begin); }

  Shard& shard;
  std::shared_ptr<LiveTenant> tenant;
  std::uint64_t serial;
  std::size_t begin;
};

void Shard::change(const std::shared_ptr<LiveTenant>& tenant, const RecordChange& change) {
  RT_DCHECK(worker_.in_loop_thread());
  if (change.record) tenant->replace(worker_.index(), change.record);
  if (change.keys) tokens_.forget(tenant->external_id);
  if (change.event_rate) restart(*tenant, kEventRate);
  if (change.event_rate) restart(*tenant, kChangeRate);
  if (change.join_rate) restart(*tenant, kJoinRate);
  if (change.presence_rate) restart(*tenant, kPresenceRate);
  if (change.disconnects) disconnect(tenant, next_serial_, 0);
}

// Of the meters that are summed up here.
void Shard::restart(const LiveTenant& tenant, const RateKind& rate) {
  for (RateTick& tick : rate_ticks_) {
    if (tick.tenant.get() != &tenant || &tick.rate != &rate) continue;
    ((*tick.tenant).*rate.meter).restart(tenant.record(worker_.index()).limits.*rate.limit);
    note_whether_over(tick);
  }
}

void Shard::disconnect(const std::shared_ptr<LiveTenant>& tenant, std::uint64_t serial, std::size_t begin) {
  std::size_t end = begin;
  const std::size_t seen_end = std::min(places(), begin + kSessionsPerMail);
  for (std::size_t left = kDisconnectsPerMail; left > 0 && end < seen_end; ++end) {
    Session* session = session_at(end);
    if (session == nullptr || &session->live_tenant() != tenant.get() || session->serial() >= serial) continue;
    session->disconnect();
    --left;
  }
  update_gauges();
  if (end < places()) worker_.post(std::make_unique<DisconnectMail>(*this, tenant, serial, end));
}

void Shard::drain(std::size_t sessions_max) {
  for (std::size_t place = 0; place < places(); ++place) {
    if (sessions_max == 0) return;
    Session* session = session_at(place);
    const bool is_ending =
        session == nullptr || (!is_long_poll(session->connection()) && !worker_.is_open(session->connection()));
    if (is_ending) continue;
    session->drain();
    --sessions_max;
  }
}

// A socket whose channels have all ended is of no use to its client. It is cut without a close frame.
void Shard::sweep() {
  for (std::size_t place = 0; place < places(); ++place) {
    const Session* session = session_at(place);
    if (session != nullptr && session->is_abandoned()) cut(session->connection());
  }
  sweep_due_.set(worker_.wheel(), worker_.now() + node_.config.no_channel_timeout);
}

void Shard::update_gauges() {
  counters_.channels.add(topics_.seats() - counters_.channels.value());
  counters_.topics.add(topics_.size() - counters_.topics.value());
}

Result<TokenRef, TokenFault> Shard::verify(const TenantRecord& tenant, std::string_view text) {
  return tokens_.verify(tenant, text, worker_.clock().unix_seconds());
}

TokenRef Shard::for_other_threads(std::string_view tenant, const TokenRef& token) {
  return tokens_.for_other_threads(tenant, token);
}

void Shard::log(LogLevel level, const LogFields& fields, std::string_view message) {
  if (may_log(level, fields.error_code)) write_log(level, fields, message);
}

bool Shard::may_log(LogLevel level, std::string_view code) {
  if (!node_.log.enabled(level)) return false;
  const bool allows = throttle_.allows(code, worker_.now());
  if (!allows) counters_.log_lines_suppressed.add();
  return allows;
}

void Shard::write_log(LogLevel level, const LogFields& fields, std::string_view message) {
  // The reason of a refused join begins with its code already.
  std::string line(message);
  if (!line.starts_with(fields.error_code)) line.insert(0, std::string(fields.error_code) + ": ");
  node_.log.write(level, fields, line);
}

}  // namespace rt::realtime
