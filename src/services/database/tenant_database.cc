#include "services/database/tenant_database.h"

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <utility>

#include "base/check.h"

namespace rt::database {
namespace {

constexpr std::chrono::milliseconds kRecoveryPauseMin{500};
constexpr std::chrono::milliseconds kRecoveryPauseMax{15'000};
// A connection that breaks sooner after the last one did is opened again more slowly each time.
constexpr std::chrono::seconds kRecoveryForgotten{60};
constexpr std::chrono::minutes kPartitionRetry{10};
constexpr std::chrono::milliseconds kReplayTimeout{5'000};
// Clients keep a connection for longer than questions come; it is opened again when one does.
constexpr std::chrono::minutes kIdleTimeout{15};

tl::unexpected<RightsFault> fault(RightsFaultKind kind, std::string text) {
  return tl::make_unexpected(RightsFault{kind, std::move(text)});
}

}  // namespace

TenantDatabase::TenantDatabase(const DatabaseParts& parts, std::string tenant, TenantSettings settings,
                               std::shared_ptr<Breakers> breakers, std::shared_ptr<DatabaseState> state,
                               std::shared_ptr<FeedMemory> memory, std::shared_ptr<ChangeDesk> desk,
                               std::shared_ptr<SlotMemory> changes_memory, std::function<void()> on_end)
    : parts_(parts),
      tenant_(std::move(tenant)),
      settings_(std::move(settings)),
      breakers_(std::move(breakers)),
      state_(std::move(state)),
      memory_(std::move(memory)),
      desk_(std::move(desk)),
      changes_memory_(std::move(changes_memory)),
      on_end_(std::move(on_end)),
      settled_(parts.surroundings.io),
      stopped_(parts.surroundings.io),
      group_(parts.surroundings.io) {
  group_.spawn(open());
  group_.spawn(give_up_waiting());
}

TenantDatabase::~TenantDatabase() { RT_CHECK(stage_ == Stage::kStopping && group_.size() == 0); }

void TenantDatabase::ask(RightsQuestion question, Answer answer) {
  vacant_minutes_ = 0;
  // It is not worth waiting for what has just failed; right after the loss it is.
  if (stage_ == Stage::kReady && !recovery_failure_.empty())
    return answer(fault(RightsFaultKind::kUnavailable, recovery_failure_));
  if (stage_ == Stage::kReady) return checks_->ask(std::move(question), std::move(answer));
  if (stage_ != Stage::kOpening) return answer(fault(RightsFaultKind::kUnavailable, "the connection was closed"));
  waiting_bytes_ += bytes_of(question);
  if (waiting_.size() >= parts_.config.waiting_max || waiting_bytes_ > parts_.config.waiting_bytes_max) {
    parts_.counters.refused.add();
    return answer(fault(RightsFaultKind::kPoolExhausted, "too many questions wait for the connection"));
  }
  waiting_.push_back({std::move(question), std::move(answer), parts_.clock.now()});
}

void TenantDatabase::replay(ReplayQuestion question, AnswerReplay answer) {
  vacant_minutes_ = 0;
  if (stage_ == Stage::kReady && recovery_failure_.empty()) return replay_->ask(std::move(question), std::move(answer));
  answer(fault(RightsFaultKind::kUnavailable,
               recovery_failure_.empty() ? "the database is not connected" : recovery_failure_));
}

void TenantDatabase::subscribe(ChangesId id) {
  vacant_minutes_ = 0;
  if (changes_) changes_->subscribe(id);
}

void TenantDatabase::unsubscribe(ChangesId id) {
  if (changes_) changes_->unsubscribe(id);
}

// --- From the beginning to the end

postgres::Task<void> TenantDatabase::open() {
  const auto opening =
      co_await open_database(parts_.surroundings, settings_, Purpose::kForPool, parts_.migrating, cancellation_);
  if (stage_ == Stage::kStopping) co_return;
  if (opening) {
    become_ready(*opening);
  } else {
    fail(opening.error());
  }
  settle();
}

void TenantDatabase::become_ready(const Opening& opening) {
  parts_.counters.opened.add();
  if (parts_.on_opened) parts_.on_opened(tenant_, opening);
  if (opening.is_by_ipv4) {
    log(LogLevel::kWarning, "DatabaseIpVersionIsIpv4",
        "the host of the database has no address of IPv6, so it is reached by IPv4; if that should not be, give the "
        "name "
        "such an address");
  }
  note_partitions(opening.partitions);
  postgres::ConnectionSettings how = settings_.connection;
  how.application_name = "realtime_connect";
  postgres::PoolConfig config;
  config.connections_max = settings_.pool_size;
  config.pipeline_max = 1;  // nobody waits behind a policy while another connection is free
  config.wait_timeout = settings_.queue_target;
  config.idle_timeout = kIdleTimeout;
  pool_ = std::make_unique<postgres::Pool>(parts_.surroundings, std::move(how), config, parts_.clock, parts_.random,
                                           postgres::OnNotice{},
                                           [this](const postgres::PgError& error) { on_trouble(error); });
  checks_ = std::make_unique<PolicyChecks>(
      parts_.surroundings.io, *pool_,
      PolicyChecksConfig{.method = settings_.policy_method.value_or(parts_.config.policy_method),
                         .batches_max = settings_.pool_size,
                         .queue_target = settings_.queue_target,
                         .waiting_max = parts_.config.waiting_max,
                         .superuser = opening.superuser},
      parts_.clock, parts_.random, breakers_->given_up, parts_.counters.policies, state_->checks, [this] {
        log(LogLevel::kCritical, "IncreaseConnectionPool",
            "Too many database timeouts: private channels are refused until there were fewer in the last 30 s; raise "
            "db_pool of the tenant, or make its policies faster");
      });
  begin_replay();
  begin_feed();
  begin_changes(opening.superuser);
  stage_ = Stage::kReady;
  set_connected(true);
  for (Waiting& one : std::exchange(waiting_, {})) checks_->ask(std::move(one.question), std::move(one.answer));
}

void TenantDatabase::begin_replay() {
  // A replay leaves a connection to the policies, or else is over before those who wait behind it are given up.
  const bool has_several = settings_.pool_size > 1;
  replay_ = std::make_unique<MessageReplay>(
      parts_.surroundings.io, *pool_,
      MessageReplayConfig{
          .queries_max = has_several ? settings_.pool_size - 1 : 1,
          .timeout = has_several ? kReplayTimeout : std::min(kReplayTimeout, settings_.queue_target * 4 / 5),
          .queue_target = settings_.queue_target,
          .waiting_max = parts_.config.waiting_max,
          .waiting_bytes_max = parts_.config.waiting_bytes_max},
      parts_.replay_room, parts_.clock, parts_.counters.replays, state_->replays,
      [this] { return !checks_->has_waiting(); });
  checks_->set_on_quiet([this] { replay_->serve(); });
}

void TenantDatabase::begin_feed() {
  if (parts_.sink == nullptr) return;
  const MessageFeed::Parts of_feed{.surroundings = parts_.surroundings,
                                   .clock = parts_.clock,
                                   .random = parts_.random,
                                   .log = parts_.log,
                                   .config = parts_.messages,
                                   .sink = *parts_.sink,
                                   .counters = parts_.counters.messages,
                                   .find = parts_.find,
                                   .users = parts_.users};
  feed_ = std::make_unique<MessageFeed>(of_feed, tenant_, settings_, memory_, state_->is_streaming, state_->messages);
}

void TenantDatabase::begin_changes(const std::string& superuser) {
  if (parts_.change_sink == nullptr) return;
  const ChangeFeed::Parts of_changes{.surroundings = parts_.surroundings,
                                     .clock = parts_.clock,
                                     .random = parts_.random,
                                     .log = parts_.log,
                                     .config = parts_.changes,
                                     .sink = *parts_.change_sink,
                                     .counters = parts_.counters.changes,
                                     .pool = *pool_,
                                     .superuser = superuser};
  changes_ = std::make_unique<ChangeFeed>(of_changes, tenant_, settings_, *desk_, changes_memory_, state_->changes);
}

void TenantDatabase::fail(const OpeningFault& why) {
  stage_ = Stage::kFailed;
  parts_.counters.failures.add();
  log(LogLevel::kError, why.code, why.text);
  if (parts_.on_failed) parts_.on_failed(tenant_, why);
  if (breakers_->connecting.record(parts_.clock.now())) {
    log(LogLevel::kCritical, "DatabaseConnectionRateLimitReached",
        "Too many connection attempts against the tenant database: it is left alone for some seconds");
  }
  answer_waiting({why.kind, why.text});
  end();
}

// Who has waited for too long is told so; the others go on waiting.
postgres::Task<void> TenantDatabase::give_up_waiting() {
  while (stage_ == Stage::kOpening) {
    const Time oldest = waiting_.empty() ? parts_.clock.now() : waiting_.front().since;
    if (co_await settled_.wait_until(oldest + parts_.config.ready_timeout)) co_return;
    while (!waiting_.empty() && parts_.clock.now() - waiting_.front().since >= parts_.config.ready_timeout) {
      const Waiting late = std::move(waiting_.front());
      waiting_.pop_front();
      late.answer(fault(RightsFaultKind::kInitializing, ""));
    }
  }
}

void TenantDatabase::answer_waiting(const RightsFault& why) {
  for (const Waiting& one : std::exchange(waiting_, {})) one.answer(tl::make_unexpected(why));
}

postgres::Task<void> TenantDatabase::stop(SlotStream::Slot slot, std::shared_ptr<postgres::Cancellation> cancellation) {
  RT_CHECK(stage_ != Stage::kStopping);
  stage_ = Stage::kStopping;
  on_end_ = nullptr;
  set_connected(false);
  settle();
  stopped_.set();
  answer_waiting({RightsFaultKind::kUnavailable, "the connection was closed"});
  cancellation_->cancel();
  if (checks_) checks_->close();
  if (replay_) replay_->close();
  if (changes_) changes_->close();
  if (feed_) co_await feed_->stop(slot, cancellation);
  if (pool_) co_await pool_->stop();
  if (changes_) co_await changes_->stop(slot, std::move(cancellation));
  if (checks_) co_await checks_->drained();
  if (replay_) co_await replay_->drained();
  co_await group_.drained();
}

std::shared_ptr<postgres::Event> TenantDatabase::settling() {
  RT_CHECK(is_opening());
  return settling_.emplace_back(std::make_shared<postgres::Event>(parts_.surroundings.io));
}

void TenantDatabase::settle() {
  settled_.set();
  for (const auto& event : std::exchange(settling_, {})) event->set();
}

void TenantDatabase::set_connected(bool is_connected) {
  if (state_->is_connected.exchange(is_connected) == is_connected) return;
  if (is_connected) {
    parts_.counters.connected.add();
  } else {
    parts_.counters.connected.subtract();
  }
}

void TenantDatabase::end() {
  if (const auto tell = std::exchange(on_end_, nullptr)) tell();
}

// --- While it is ready

// Others of the pool may be there still.
void TenantDatabase::on_trouble(const postgres::PgError& error) {
  if (stage_ != Stage::kReady || is_recovering_) return;
  parts_.counters.lost.add();
  log(LogLevel::kWarning, "DatabaseConnectionDown", "a connection to the tenant database failed: " + error.message);
  if (pool_->open_connections() > 0) return;
  is_recovering_ = true;
  set_connected(false);
  group_.spawn(recover());
}

// It may be another server by now, so it is looked at as it was at first.
postgres::Task<void> TenantDatabase::recover() {
  const Time until = parts_.clock.now() + parts_.config.recovery_window;
  if (parts_.clock.now() - recovered_at_ >= kRecoveryForgotten) recovery_pause_ = {};
  while (stage_ == Stage::kReady) {
    if (recovery_pause_.count() > 0) co_await stopped_.wait_until(parts_.clock.now() + recovery_pause_);
    recovery_pause_ = std::clamp(recovery_pause_ * 2, kRecoveryPauseMin, kRecoveryPauseMax);
    if (stage_ != Stage::kReady) co_return;
    const auto opening =
        co_await open_database(parts_.surroundings, settings_, Purpose::kForSchema, parts_.migrating, cancellation_);
    if (stage_ != Stage::kReady) co_return;
    if (opening || (pool_->open_connections() > 0 && !pool_->server().is_read_only)) {
      is_recovering_ = false;
      recovery_failure_.clear();
      recovered_at_ = parts_.clock.now();
      set_connected(true);
      log(LogLevel::kInfo, "", "the tenant database can be reached again");
      co_return;
    }
    recovery_failure_ = opening.error().text;
    if (parts_.clock.now() >= until) {
      log(LogLevel::kWarning, "DatabaseConnectionRecoveryWindowExceeded",
          "gave the tenant database up: " + recovery_failure_);
      stage_ = Stage::kFailed;
      co_return end();
    }
  }
}

bool TenantDatabase::is_vacant_after_minute(std::int64_t users) {
  const bool is_needed =
      users > 0 || !waiting_.empty() || (checks_ && !checks_->is_idle()) || (replay_ && !replay_->is_idle());
  vacant_minutes_ = is_needed ? 0 : vacant_minutes_ + 1;
  return vacant_minutes_ >= parts_.config.vacant_minutes_max;
}

bool TenantDatabase::needs_partitions() const { return is_connected() && parts_.clock.now() >= partitions_due_; }

void TenantDatabase::note_partitions(const postgres::Result<postgres::PartitionUpkeep>& upkeep) {
  partitions_due_ = parts_.clock.now() + (upkeep ? parts_.config.partition_interval : kPartitionRetry);
  if (!upkeep) {
    parts_.counters.partition_failures.add();
    return log(LogLevel::kError, "PartitionCreationFailed",
               "partitions of realtime.messages could not be looked at: " + upkeep.error().message);
  }
  state_->partition_days_ahead = upkeep->days_ahead;
  parts_.counters.partition_failures.add(upkeep->failures.size());
  if (upkeep->failures.empty()) return;
  log(LogLevel::kError, "PartitionCreationFailed",
      std::to_string(upkeep->failures.size()) + " partitions of realtime.messages are missing, from " +
          upkeep->failures.front());
}

void TenantDatabase::log(LogLevel level, std::string_view code, const std::string& text) const {
  const bool has_code = code.empty() || text.starts_with(code);
  parts_.log.write(level, {.tenant = tenant_, .error_code = code}, has_code ? text : std::string(code) + ": " + text);
}

}  // namespace rt::database
