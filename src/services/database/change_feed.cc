#include "services/database/change_feed.h"

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <utility>

#include "base/check.h"
#include "protocol/pgoutput/reader.h"

namespace rt::database {
namespace {

constexpr std::chrono::seconds kTimeOutWindow{30};
constexpr std::chrono::minutes kIdleConnection{15};
// What is said of many rows or channels.
constexpr std::chrono::seconds kSayingInterval{60};
constexpr std::size_t kSayingsMax = 1'000;
constexpr std::size_t kSayingBytesMax = 200;  // by which one is told from others

SlotStreamNames names_of(const TenantSettings& settings) {
  return {.slot = settings.slot_name,
          .publication = settings.publication,
          .application = "realtime_rls",
          .what = "row changes",
          .not_started = "PoolingReplicationPreparationError",
          .down = "PoolingReplicationError",
          .timed_out = "PoolingReplicationError",
          .crowded = "ReplicationMaxWalSendersReached",
          .lag_too_high = "ReplicationSlotLagTooHigh",
          .being_used = "ReplicationSlotBeingUsed"};
}

}  // namespace

ChangeFeed::ChangeFeed(const Parts& parts, std::string tenant, TenantSettings settings, ChangeDesk& desk,
                       std::shared_ptr<SlotMemory> memory, ChangeMeters& meters)
    : parts_(parts),
      tenant_(std::move(tenant)),
      settings_(std::move(settings)),
      desk_(desk),
      memory_(std::move(memory)),
      meters_(meters),
      changed_(parts.surroundings.io),
      stopped_(parts.surroundings.io),
      idle_since_(parts.clock.now()),
      hash_key_{parts.random.next(), parts.random.next()},
      time_outs_(settings_.subscribing_max, kTimeOutWindow),
      pool_([this] {
        postgres::ConnectionSettings how = settings_.connection;
        how.application_name = "realtime_subscription_manager";
        postgres::PoolConfig config;
        config.connections_max = 1;
        config.waiting_max = 100'000;
        config.wait_timeout = parts_.config.answer_within;
        config.idle_timeout = kIdleConnection;
        return std::make_unique<postgres::Pool>(parts_.surroundings, std::move(how), config, parts_.clock,
                                                parts_.random);
      }()),
      catalog_(*pool_, parts.clock),
      stream_config_([this] {
        SlotStreamConfig config = parts_.config.stream;
        config.poll_interval = settings_.poll_interval;
        return config;
      }()),
      room_(parts.surroundings.io, parts.clock, parts.sink.may_publish, parts.sink.when_may_publish),
      group_(parts.surroundings.io) {
  desk_.for_each([this](ChangesId id, const ChangeDesk::Question& question) { take_question(id, question); });
  changed_.set();
  group_.spawn(run());
}

ChangeFeed::~ChangeFeed() {
  RT_CHECK(is_stopping_ && group_.size() == 0);
  for (const auto& [id, subscriber] : subscribers_) {
    parts_.counters.subscriptions.subtract(subscriber.elements.size());
    meters_.subscriptions.subtract(subscriber.elements.size());
  }
}

void ChangeFeed::subscribe(ChangesId id) {
  const ChangeDesk::Question question = desk_.find(id);
  if (!question) return;
  take_question(id, question);
  changed_.set();
}

void ChangeFeed::unsubscribe(ChangesId id) {
  forget(id);
  changed_.set();
}

void ChangeFeed::close() {
  is_stopping_ = true;
  changed_.set();
  stopped_.set();
  room_.close();
}

postgres::Task<void> ChangeFeed::stop(SlotStream::Slot slot, std::shared_ptr<postgres::Cancellation> cancellation) {
  RT_CHECK(is_stopping_);
  if (cancellation->is_cancelled()) {
    ending_->cancel();
  } else {
    cancellation->set_hook([ending = ending_] { ending->cancel(); });
  }
  // Who waits for an answer of the database gets none, so that the stream can end.
  co_await pool_->stop();
  co_await group_.drained();
  cancellation->set_hook(nullptr);
  if (stream_) co_await stream_->stop(slot, std::move(cancellation));
  stream_.reset();
}

// --- While somebody wants something

postgres::Task<void> ChangeFeed::run() {
  while (!is_stopping_) {
    co_await changed_.wait_until(next_due());
    changed_.clear();
    if (is_stopping_) co_return;
    if (std::exchange(is_publication_gone_, false)) {
      co_await end_stream();
      look_again();  // those who are served have to be told
    }
    const Time now = parts_.clock.now();
    while (!later_.empty() && later_.begin()->first <= now) {
      const ChangesId id = later_.begin()->second;
      later_.erase(later_.begin());
      const auto found = subscribers_.find(id);
      if (found == subscribers_.end() || found->second.stage != Stage::kLater) continue;
      found->second.stage = Stage::kWaiting;
      waiting_.push_back(id);
    }
    if (subscribers_.empty()) {
      if (stream_ && now - idle_since_ >= parts_.config.idle_max) co_await end_stream();
      continue;
    }
    const auto is_due = [now](Time at) { return at != Time{} && at <= now; };
    if (!waiting_.empty() || is_due(recheck_at_) || is_due(look_at_)) co_await serve();
  }
}

Time ChangeFeed::next_due() const {
  Time due = parts_.clock.now() + std::chrono::hours(24);
  if (stream_ && subscribers_.empty()) due = std::min<Time>(due, idle_since_ + parts_.config.idle_max);
  if (!later_.empty()) due = std::min(due, later_.begin()->first);
  for (const Time at : {recheck_at_, look_at_}) {
    if (at != Time{}) due = std::min(due, at);
  }
  return due;
}

void ChangeFeed::begin_stream() {
  const SlotStream::Parts parts{.surroundings = parts_.surroundings,
                                .clock = parts_.clock,
                                .random = parts_.random,
                                .log = parts_.log,
                                .config = stream_config_,
                                .counters = parts_.counters.streams};
  SlotReader& reader = *this;
  stream_ = std::make_unique<SlotStream>(parts, tenant_, settings_, names_of(settings_), memory_, reader);
}

// Without a publication or anybody who listens there is nothing to keep the server's log for.
postgres::Task<void> ChangeFeed::end_stream() {
  if (!stream_) co_return;
  meters_.stopped.add();
  co_await stream_->stop(SlotStream::Slot::kIsDropped, ending_);
  stream_.reset();
  has_slot_ = false;
  // Those who are served miss what comes until there is another one, so they have to hear of that.
  is_announced_ = is_announced_ && watched_count_ > 0;
}

// --- What the stream asks and tells

postgres::Task<std::optional<StreamEnd>> ChangeFeed::prepare(Query query) {
  const auto tables =
      co_await query("SELECT count(*) FROM pg_publication_tables WHERE pubname = " + quoted(settings_.publication));
  if (!tables) co_return not_started(names_of(settings_), tables.error());
  if (tables->text(0, 0) != "0") co_return std::nullopt;
  is_publication_gone_ = true;
  changed_.set();
  co_return StreamEnd{.code = {}, .text = {}, .is_final = true};
}

void ChangeFeed::on_slot(Continuity continuity) {
  if (is_stopping_) return;
  has_slot_ = true;
  const bool has_gap = std::exchange(is_announced_, true) && continuity == Continuity::kNew;
  if (has_gap) {
    log(LogLevel::kWarning, "PoolingReplicationError",
        "the stream of row changes has begun anew: what was committed in between is not told, and everybody who has "
        "subscribed is told so");
    for (auto& [id, subscriber] : subscribers_) {
      if (subscriber.stage == Stage::kServed)
        tell(subscriber, {ChangesNotice::Status::kOk, "Subscribed to PostgreSQL"});
    }
  }
  look_again();
}

bool ChangeFeed::has_listeners() { return watched_count_ > 0; }

postgres::Task<postgres::Result<void>> ChangeFeed::on_new_slot(Query /*query*/) { co_return postgres::Result<void>{}; }

void ChangeFeed::begin() {
  rows_.clear();
  unwanted_.clear();
  batch_.clear();
  bytes_.clear();
  for (const auto& [oid, watched] : watched_) rows_.bind(watched.table);
}

void ChangeFeed::on_streaming(bool is_streaming) {
  // A temporary slot ends with its stream; of a durable one we hear again.
  if (!is_streaming) has_slot_ = false;
}

void ChangeFeed::on_end(const StreamEnd& end) {
  has_slot_ = false;
  if (end.code.empty()) return;
  (end.code == names_of(settings_).down ? meters_.failed_streams : meters_.failed_preparations).add();
}

// Rows of tables that nobody wants are not even copied.
std::optional<StreamEnd> ChangeFeed::take(const Transaction& transaction, std::string_view message) {
  pgoutput::Reader in(message);
  const auto kind = in.integer<std::uint8_t>();
  if (kind != 'R' && kind != 'I' && kind != 'U' && kind != 'D') return std::nullopt;
  const auto table = in.integer<std::uint32_t>();
  if (kind == 'R') {
    unwanted_.erase(table);  // until it is known better
  } else if (unwanted_.contains(table)) {
    return std::nullopt;
  }
  batch_.push_back({transaction, bytes_.size(), message.size()});
  bytes_.append(message);
  return std::nullopt;
}

bool ChangeFeed::may_take() {
  return !is_stopping_ && batch_.size() < parts_.config.rows_per_batch &&
         bytes_.size() < parts_.config.bytes_per_batch && parts_.sink.may_publish();
}

postgres::Task<bool> ChangeFeed::work() {
  if (is_stopping_) co_return false;
  bool is_done = true;
  if (!batch_.empty()) {
    const Time began = parts_.clock.now();
    is_working_ = true;
    is_done = co_await process();
    is_working_ = false;
    for (const Handle handle : retired_) elements_[handle] = {};
    free_.insert(free_.end(), retired_.begin(), retired_.end());
    retired_.clear();
    batch_.clear();
    bytes_.clear();
    made_.clear();
    if (bytes_.capacity() > 2 * parts_.config.bytes_per_batch) bytes_ = {};
    if (is_done) {
      const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(parts_.clock.now() - began);
      meters_.batches.record(took.count());
    }
  }
  co_await room_.wait(parts_.config.stream.status_interval);
  co_return is_done && !is_stopping_;
}

void ChangeFeed::log(LogLevel level, std::string_view code, const std::string& text) const {
  const bool has_code = code.empty() || text.starts_with(code);
  parts_.log.write(level, {.tenant = tenant_, .error_code = code}, has_code ? text : std::string(code) + ": " + text);
}

void ChangeFeed::log_sometimes(LogLevel level, std::string_view code, const std::string& text) {
  const Time now = parts_.clock.now();
  if (logged_.size() >= kSayingsMax)
    std::erase_if(logged_, [&](const auto& e) { return now - e.second >= kSayingInterval; });
  if (logged_.size() >= kSayingsMax) return;
  const auto [said, is_new] = logged_.try_emplace(text.substr(0, kSayingBytesMax), now);
  if (!is_new && now - said->second < kSayingInterval) return;
  said->second = now;
  log(level, code, text);
}

}  // namespace rt::database
