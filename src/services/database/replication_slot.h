// Replication slots: the bookmark from which Postgres keeps its log for us.
//
// A temporary one ends with its connection, and with it what was written meanwhile. A durable one stays, and a
// forgotten one fills the tenant's disk. So one is durable only where the server bounds what a slot may keep, or the
// operator says so; its name follows from the database and the tenant, so that whoever comes next finds it; and who
// holds an advisory lock of that name uses it, alone.
//
// https://www.postgresql.org/docs/15/logicaldecoding-explanation.html#LOGICALDECODING-REPLICATION-SLOTS
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "io/postgres/replication.h"
#include "io/postgres/rows.h"
#include "services/database/tenant_settings.h"

namespace rt::database {

inline constexpr std::string_view kMessagesSlot = "supabase_realtime_messages_replication_slot";

// One statement in a session whose search_path is pg_catalog; a walsender takes no parameters.
using Query = std::function<postgres::Task<postgres::Result<postgres::Rows>>(std::string sql)>;
// As a literal.
std::string quoted(std::string_view text);
// As a literal of one name where several could be: in letters as they are.
std::string quoted_name(std::string_view name);
// A name as SQL takes it, whatever is in it.
std::string identifier(std::string_view name);

struct ReplicationFacts {
  std::uint32_t database = 0;                     // its oid
  std::optional<std::uint64_t> slot_bytes_max{};  // max_slot_wal_keep_size; nullopt: a slot keeps all
};
postgres::Task<postgres::Result<ReplicationFacts>> look_at_replication(Query query);

bool is_durable(SlotMode mode, const ReplicationFacts& facts);

// `base`, and what tells it from others of the cluster: at most 63 lower-case letters, digits and underscores.
std::string durable_slot_name(std::string_view base, const ReplicationFacts& facts, std::string_view tenant);
// `suffix`: instead of what follows from database, tenant and node.
std::string temporary_slot_name(std::string_view base, const ReplicationFacts& facts, std::string_view tenant,
                                std::uint64_t node, const std::optional<std::string>& suffix);

// Of this tenant in this database, as the key of an advisory lock.
std::int64_t slot_lock(std::string_view durable_name);

struct FoundSlot {
  bool is_active = false;
  bool is_usable = true;  // of this database and ours to read, and its log is still there
};
postgres::Task<postgres::Result<std::optional<FoundSlot>>> find_slot(Query query, std::string name);

// Slots of this database that nobody should use any more: the durable one of that name, unless another session has its
// lock; or, where `name` is empty, all whose names have `realtime` in them, and then also those that somebody uses,
// whose sessions are ended where the login may do that. On a connection of its own. Returns how many there were.
postgres::Task<postgres::Result<int>> drop_slots(postgres::Surroundings surroundings,
                                                 postgres::ConnectionSettings settings, std::string name,
                                                 std::shared_ptr<postgres::Cancellation> cancellation);

}  // namespace rt::database
