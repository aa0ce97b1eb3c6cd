// The slot of a feed, and what was missed while it had none.
#include <boost/asio/awaitable.hpp>
#include <utility>

#include "domain/messages/message_row.h"
#include "services/database/message_feed.h"

namespace rt::database {
namespace {

constexpr std::chrono::seconds kLockInterval{1};
constexpr std::chrono::seconds kListenersInterval{1};
constexpr std::size_t kMissedRowsPerFetch = 10;
constexpr std::size_t kNamesBytesMax = 64 * 1024;  // of topic and event of a row that is fetched

// In the order in which texts_of() takes them.
constexpr const char* kColumns = "id, topic, event, private, inserted_at, payload, binary_payload";

messages::RowTexts texts_of(const postgres::Rows& rows, std::size_t row) {
  return {.id = rows.text(row, 0),
          .topic = rows.text(row, 1),
          .event = rows.text(row, 2),
          .is_private = rows.text(row, 3),
          .inserted_at = rows.text(row, 4),
          .payload = rows.text(row, 5),
          .binary_payload = rows.text(row, 6)};
}

std::string interval(std::chrono::milliseconds duration) {
  return "interval '" + std::to_string(duration.count()) + " milliseconds'";
}

}  // namespace

postgres::Task<std::optional<MessageFeed::End>> MessageFeed::prepare_slot(Query query, Way way) {
  if (!is_durable_) {
    slot_ = temporary_slot_name(kMessagesSlot, facts_, tenant_, parts_.config.node, parts_.config.slot_suffix);
    co_return co_await make_slot(query, way);
  }
  slot_ = durable_slot_name(kMessagesSlot, facts_, tenant_);
  memory_->durable_slot = slot_;
  if (auto end = co_await wait_for_lock(query)) co_return end;
  bool is_told = false;
  while (true) {
    const auto found = co_await find_slot(query, slot_);
    if (!found) co_return failed(found.error(), kNotStarted);
    if (!*found) co_return co_await make_slot(query, way);
    if ((*found)->is_active) {  // by a session of ours that the server does not know to be gone
      if (!std::exchange(is_told, true))
        log(LogLevel::kInfo, "", "the slot " + slot_ + " is still in use: waiting until it is free");
      if (co_await stopped_.wait_until(parts_.clock.now() + kLockInterval)) co_return End{};
      continue;
    }
    if ((*found)->is_usable && !slot_has_to_go_) break;
    if (!(*found)->is_usable) {
      log(LogLevel::kWarning, "ReplicationSlotNotAlive",
          "the server has dropped what the slot " + slot_ +
              " kept: raise max_slot_wal_keep_size if that happens again; a new one is made");
    }
    const auto dropped = co_await query("SELECT pg_drop_replication_slot(" + quoted(slot_) + ")");
    if (!dropped) co_return failed(dropped.error(), kNotStarted);
  }
  if (memory_->slot != slot_) co_return co_await wait_for_listeners(query);
  co_return std::nullopt;
}

// One node at a time has a tenant's durable slot; the lock goes with the session.
postgres::Task<std::optional<MessageFeed::End>> MessageFeed::wait_for_lock(Query query) {
  const std::string ask = "SELECT pg_try_advisory_lock(" + std::to_string(slot_lock(slot_)) + ")";
  bool is_told = false;
  while (true) {
    const auto taken = co_await query(ask);
    if (!taken) co_return failed(taken.error(), kNotStarted);
    if (taken->text(0, 0) == "t") co_return std::nullopt;
    if (!std::exchange(is_told, true))
      log(LogLevel::kInfo, "", "another session has the slot " + slot_ + ": waiting until it is free");
    if (co_await stopped_.wait_until(parts_.clock.now() + kLockInterval)) co_return End{};
  }
}

// What the slot kept is for those who were here before a restart, so they have to be back.
postgres::Task<std::optional<MessageFeed::End>> MessageFeed::wait_for_listeners(Query query) {
  const Time graced = began_ + parts_.config.resume_grace;
  while (parts_.users(tenant_) == 0 || parts_.clock.now() < graced) {
    const Time next = parts_.clock.now() + kListenersInterval;
    if (co_await stopped_.wait_until(parts_.clock.now() < graced ? std::min(next, graced) : next)) co_return End{};
    // The server would notice; we would not.
    const auto alive = co_await query("SELECT 1");
    if (!alive) co_return failed(alive.error(), kNotStarted);
  }
  co_return std::nullopt;
}

postgres::Task<std::optional<MessageFeed::End>> MessageFeed::make_slot(Query query, Way way) {
  // Should this fail half-way, a durable one is there and what was missed is not told: then it is made once more.
  slot_has_to_go_ = is_durable_;
  auto made = co_await make_slot_now(query, way);
  // duplicate_object: somebody else chose this name, and a name need not be that one.
  if (!made && made.error().sqlstate == "42710" && !is_durable_) {
    log(LogLevel::kWarning, "", "somebody else has a slot " + slot_ + ": taking another name");
    slot_ = temporary_slot_name(kMessagesSlot, facts_, tenant_, parts_.random.next(), std::nullopt);
    made = co_await make_slot_now(query, way);
  }
  if (!made) co_return failed(made.error(), kNotStarted);
  slot_has_to_go_ = false;
  memory_->delivered_until = {};
  co_return std::nullopt;
}

// The first look of a stream's slot at the database is ours, too: nothing is between the table, as it is read, and the
// stream. Without a walsender there is no such thing: what is committed between the two is found in both, and told
// once.
postgres::Task<postgres::Result<void>> MessageFeed::make_slot_now(Query query, Way way) {
  const std::string begin = "BEGIN READ ONLY ISOLATION LEVEL REPEATABLE READ";
  std::vector<std::string> commands;
  if (way == Way::kStream) {
    commands = {begin, "CREATE_REPLICATION_SLOT \"" + slot_ + "\" " + (is_durable_ ? "" : "TEMPORARY ") +
                           "LOGICAL pgoutput USE_SNAPSHOT"};
  } else {
    commands = {"SELECT pg_create_logical_replication_slot(" + quoted(slot_) + ", 'pgoutput', " +
                    (is_durable_ ? "false)" : "true)"),
                begin};
  }
  for (std::string& command : commands) {
    const auto done = co_await query(std::move(command));
    if (done) continue;
    (void)co_await query("ROLLBACK");
    co_return tl::make_unexpected(done.error());
  }
  const auto fetched = co_await fetch_missed(query);
  if (!fetched) co_return tl::make_unexpected(fetched.error());
  const auto committed = co_await query("COMMIT");
  if (!committed) co_return tl::make_unexpected(committed.error());
  co_return postgres::Result<void>{};
}

// What was written while there was no slot, as far as the table can tell. In a transaction.
postgres::Task<postgres::Result<void>> MessageFeed::fetch_missed(Query query) {
  if (!memory_->lost_at || !has_gap_rule()) co_return postgres::Result<void>{};
  learn_limits();
  const auto declared = co_await query("DECLARE missed CURSOR FOR " + missed_rows());
  if (!declared) co_return tl::make_unexpected(declared.error());
  while (true) {
    const auto rows = co_await query("FETCH " + std::to_string(kMissedRowsPerFetch) + " FROM missed");
    if (!rows) co_return tl::make_unexpected(rows.error());
    if (rows->empty()) co_return postgres::Result<void>{};
    is_from_table_ = true;
    for (std::size_t row = 0; row < rows->size(); ++row) take_row(texts_of(*rows, row));
    is_from_table_ = false;
    co_await wait_for_room();
  }
}

// Times are those of whoever inserted the rows; one that lies ahead of the gap does not hide the others. What is too
// large to be broadcast stays there: a fetch takes several.
std::string MessageFeed::missed_rows() const {
  const MessageFeedConfig& config = parts_.config;
  const auto gap = std::chrono::duration_cast<std::chrono::milliseconds>(parts_.clock.now() - *memory_->lost_at);
  const std::string now = "(now() AT TIME ZONE 'utc')";
  const std::string since = "greatest(least(" + quoted(memory_->last_inserted_at) + "::timestamp, " + now + " - " +
                            interval(gap) + ") - " + interval(config.gap_overlap) + ", " + now + " - " +
                            interval(config.gap_age_max) + ")";
  const std::string size =
      "coalesce(octet_length(binary_payload), octet_length(payload::text), 0) + octet_length(topic) + "
      "coalesce(octet_length(event), 0)";
  const std::string newest = std::string("SELECT ") + kColumns +
                             ", tableoid AS part, ctid AS place FROM realtime.messages WHERE inserted_at > " + since +
                             " AND " + size + " <= " + std::to_string(body_bytes_max_ + kNamesBytesMax) +
                             " ORDER BY inserted_at DESC, tableoid DESC, ctid DESC LIMIT " +
                             std::to_string(config.gap_rows_max);
  return std::string("SELECT ") + kColumns + " FROM (" + newest + ") m ORDER BY inserted_at, part, place";
}

}  // namespace rt::database
