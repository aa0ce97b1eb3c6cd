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
constexpr int kDropAttempts = 20;
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

postgres::Task<postgres::Result<ReplicationFacts>> look_at_replication(postgres::ReplicationConnection& connection,
                                                                       Time deadline) {
  const auto rows = co_await connection.query(
      "SELECT (SELECT oid FROM pg_database WHERE datname = current_database()), "
      "(SELECT setting::bigint FROM pg_settings WHERE name = 'max_slot_wal_keep_size')",
      deadline);
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

postgres::Task<postgres::Result<std::optional<FoundSlot>>> find_slot(postgres::ReplicationConnection& connection,
                                                                     std::string_view name, Time deadline) {
  const auto rows = co_await connection.query(
      "SELECT active, coalesce(database = current_database() AND plugin = 'pgoutput' AND wal_status <> 'lost', false) "
      "FROM pg_replication_slots WHERE slot_name = '" +
          std::string(name) + "'",
      deadline);
  if (!rows) co_return tl::make_unexpected(rows.error());
  if (rows->empty()) co_return std::nullopt;
  co_return FoundSlot{.is_active = rows->text(0, 0) == "t", .is_usable = rows->text(0, 1) == "t"};
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
  int dropped = 0;
  for (int attempt = 0; attempt < kDropAttempts; ++attempt) {
    if (name.empty()) {
      const auto ended = co_await connection.run(
          just(std::string("SELECT pg_terminate_backend(active_pid)") + kOfThis + " AND active", {name}));
      if (!ended) co_return tl::make_unexpected(ended.error());
    }
    const auto gone = co_await connection.run(
        just(std::string("SELECT pg_drop_replication_slot(slot_name)") + kOfThis + " AND NOT active AND NOT temporary",
             {name}));
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
  co_return postgres::fail(postgres::ErrorClass::kServer, "some are still in use");
}

}  // namespace rt::database
