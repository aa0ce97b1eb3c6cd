#include "services/database/replication_slot.h"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <charconv>

#include "base/siphash.h"
#include "services/database/opening.h"

namespace rt::database {
namespace {

using postgres::Batch;
using postgres::Plan;

constexpr std::size_t kNameBytesMax = 63;
// The same on all nodes, so they are no secret.
constexpr HashKey kNameKey{0x736c6f745f6e616d, 0x655f6b6579203a29};
constexpr HashKey kLockKey{0x736c6f745f6c6f63, 0x6b5f6b6579203a29};
// How often, and how long after each other, slots are dropped whose sessions have just been ended.
constexpr int kDropAttempts = 100;
constexpr std::chrono::milliseconds kDropPause{100};

template <class T>
T number(std::string_view digits) {
  T out{};
  std::from_chars(digits.data(), digits.data() + digits.size(), out);
  return out;
}

std::string hex(std::uint64_t value) {
  char digits[17];
  std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(value));
  return digits;
}

std::string fitting(std::string_view base, const std::string& suffix) {
  return std::string(base.substr(0, kNameBytesMax - 1 - std::min(suffix.size(), kNameBytesMax - 1))) + "_" +
         suffix.substr(0, kNameBytesMax - 1);
}

std::string whose(const ReplicationFacts& facts, std::string_view tenant) {
  return std::to_string(facts.database) + ":" + std::string(tenant);
}

Batch just(std::string sql, std::vector<std::optional<std::string>> parameters) {
  Batch batch;
  batch.statements = {{.sql = "SET LOCAL search_path TO pg_catalog, pg_temp", .plan = Plan::kOnce},
                      {.sql = std::move(sql), .parameters = std::move(parameters), .plan = Plan::kOnce}};
  return batch;
}

constexpr const char* kOfThis =
    " FROM pg_replication_slots WHERE database = current_database() AND (slot_name = $1 OR $1 = '' AND slot_name ~ "
    "'realtime')";

}  // namespace

std::string quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) out.append(c == '\'' ? 2 : 1, c);
  return out + "'";
}

std::string identifier(std::string_view name) {
  std::string out = "\"";
  for (const char c : name) out.append(c == '"' ? 2 : 1, c);
  return out + "\"";
}

std::string quoted_name(std::string_view name) { return quoted(identifier(name)); }

postgres::Task<postgres::Result<ReplicationFacts>> look_at_replication(Query query) {
  const auto rows = co_await query(
      "SELECT (SELECT oid FROM pg_database WHERE datname = current_database()), "
      "(SELECT setting::bigint FROM pg_settings WHERE name = 'max_slot_wal_keep_size')");
  if (!rows) co_return tl::make_unexpected(rows.error());
  ReplicationFacts out{.database = number<std::uint32_t>(rows->text(0, 0).value_or("0"))};
  const auto megabytes = number<std::int64_t>(rows->text(0, 1).value_or("-1"));
  if (megabytes >= 0) out.slot_bytes_max = static_cast<std::uint64_t>(megabytes) << 20;
  co_return out;
}

bool is_durable(SlotMode mode, const ReplicationFacts& facts) {
  return mode == SlotMode::kAuto ? facts.slot_bytes_max.has_value() : mode == SlotMode::kDurable;
}

std::string durable_slot_name(std::string_view base, const ReplicationFacts& facts, std::string_view tenant) {
  return fitting(base, hex(siphash(kNameKey, whose(facts, tenant))));
}

std::string temporary_slot_name(std::string_view base, const ReplicationFacts& facts, std::string_view tenant,
                                std::uint64_t node, const std::optional<std::string>& suffix) {
  if (suffix) return fitting(base, *suffix);
  return fitting(base, hex(siphash(kNameKey, whose(facts, tenant) + ":" + std::to_string(node))));
}

std::int64_t slot_lock(std::string_view durable_name) {
  return static_cast<std::int64_t>(siphash(kLockKey, durable_name));
}

postgres::Task<postgres::Result<std::optional<FoundSlot>>> find_slot(Query query, std::string name) {
  const auto rows = co_await query(
      "SELECT active, coalesce(database = current_database() AND plugin = 'pgoutput' AND wal_status <> 'lost', false) "
      "FROM pg_replication_slots WHERE slot_name = " +
      quoted(name));
  if (!rows) co_return tl::make_unexpected(rows.error());
  if (rows->empty()) co_return std::nullopt;
  co_return FoundSlot{.is_active = rows->text(0, 0) == "t", .is_usable = rows->text(0, 1) == "t"};
}

// A session that the login may not end keeps its slot; that of others must not keep ours.
postgres::Task<postgres::Result<void>> end_holders(postgres::Connection& connection) {
  const auto holders = co_await connection.run(just(std::string("SELECT active_pid") + kOfThis + " AND active", {""}));
  if (!holders) co_return tl::make_unexpected(holders.error());
  for (std::size_t row = 0; row < holders->back().size(); ++row) {
    const std::string pid(holders->back().text(row, 0).value_or("0"));
    const auto ended = co_await connection.run(just("SELECT pg_terminate_backend($1::int)", {pid}));
    if (!ended && !connection.is_open()) co_return tl::make_unexpected(ended.error());
  }
  co_return postgres::Result<void>{};
}

postgres::Task<postgres::Result<int>> drop_slots(postgres::Surroundings surroundings,
                                                 postgres::ConnectionSettings settings, std::string name,
                                                 std::shared_ptr<postgres::Cancellation> cancellation) {
  settings.application_name = "realtime_replication_slot_teardown";
  const auto opened =
      co_await postgres::Connection::open(surroundings, std::move(settings), postgres::OnNotice{}, cancellation);
  if (!opened) co_return tl::make_unexpected(opened.error());
  postgres::Connection& connection = **opened;
  const ClosedByCancellation closed(connection, cancellation);
  connection.begin_exclusive_use();  // it keeps a lock between its statements, and goes with it
  int dropped = 0;
  for (int attempt = 0; attempt < kDropAttempts; ++attempt) {
    bool may_drop = true;
    if (name.empty()) {
      const auto ended = co_await end_holders(connection);
      if (!ended) co_return tl::make_unexpected(ended.error());
    } else {
      const auto locked =
          co_await connection.run(just("SELECT pg_try_advisory_lock($1::bigint)", {std::to_string(slot_lock(name))}));
      if (!locked) co_return tl::make_unexpected(locked.error());
      may_drop = locked->back().text(0, 0) == "t";
    }
    const auto gone = co_await connection.run(just(std::string("SELECT pg_drop_replication_slot(slot_name)") + kOfThis +
                                                       " AND NOT active AND NOT temporary AND $2",
                                                   {name, may_drop ? "t" : "f"}));
    // 42704 undefined_object, 55006 object_in_use: another was faster.
    if (!gone && gone.error().sqlstate != "42704" && gone.error().sqlstate != "55006")
      co_return tl::make_unexpected(gone.error());
    if (gone) dropped += static_cast<int>(gone->back().size());
    const auto left = co_await connection.run(just(std::string("SELECT count(*)") + kOfThis, {name}));
    if (!left) co_return tl::make_unexpected(left.error());
    if (left->back().text(0, 0) == "0") co_return dropped;
    boost::asio::steady_timer pause(surroundings.io, kDropPause);
    co_await pause.async_wait(boost::asio::use_awaitable);
  }
  co_return postgres::fail(postgres::ErrorClass::kServer, "some are still in use, pg_replication_slots shows by whom");
}

}  // namespace rt::database
