// The SQL of the control store. Both databases name and type their columns alike, so that one description serves both.
#include "io/store/store.h"

#include <algorithm>
#include <charconv>
#include <unordered_map>
#include <utility>

#include "io/store/database.h"

namespace rt::store {
namespace {

// A text that is NULL in the store where it is empty.
template <class Text>
struct EmptyIsNull {
  Text& text;
};

// Calls `use(column, field)` for all that is read and written of a tenant, always in the same order.
template <class Tenant, class Use>
void for_each_column(Tenant& tenant, Use use) {
  auto& limits = tenant.limits;
  use("id", tenant.id);
  use("external_id", tenant.external_id);
  use("name", tenant.name);
  use("jwt_secret", EmptyIsNull{tenant.jwt_secret});
  use("jwt_jwks", tenant.jwt_jwks);
  use("max_concurrent_users", limits.concurrent_users_max);
  use("max_events_per_second", limits.events_per_second_max);
  use("max_presence_events_per_second", limits.presence_events_per_second_max);
  use("max_joins_per_second", limits.joins_per_second_max);
  use("max_channels_per_client", limits.channels_per_client_max);
  use("max_bytes_per_second", limits.bytes_per_second_max);
  use("max_payload_size_in_kb", limits.payload_kb_max);
  use("max_client_presence_events_per_window", limits.client_presence_events_max);
  use("client_presence_window_ms", limits.client_presence_window_ms);
  use("suspend", tenant.suspended);
  use("private_only", tenant.private_only);
  use("presence_enabled", tenant.presence_enabled);
  use("migrations_ran", tenant.migrations_ran);
  use("postgres_cdc_default", tenant.cdc_default);
  use("broadcast_adapter", tenant.broadcast_adapter);
  use("feature_flags", tenant.feature_flags);
}

// The same of a flag.
template <class Flag, class Use>
void for_each_flag_column(Flag& flag, Use use) {
  use("id", flag.id);
  use("name", flag.name);
  use("enabled", flag.enabled);
  use("rollout_percentage", flag.rollout_percentage);
  use("bucket_key", flag.bucket_key);
}

// NULL leaves the default that the field has.
void read(Row& row, std::string& field) {
  if (auto text = row.optional_text()) field = *std::move(text);
}
void read(Row& row, EmptyIsNull<std::string> field) { read(row, field.text); }
void read(Row& row, std::optional<std::string>& field) { field = row.optional_text(); }
void read(Row& row, std::int64_t& field) { field = row.optional_integer().value_or(field); }
void read(Row& row, std::optional<std::int64_t>& field) { field = row.optional_integer(); }
void read(Row& row, bool& field) { field = row.optional_boolean().value_or(field); }

std::optional<std::string> value_of(const std::string& field) { return field; }
std::optional<std::string> value_of(EmptyIsNull<const std::string> field) {
  return field.text.empty() ? std::nullopt : std::optional(field.text);
}
std::optional<std::string> value_of(const std::optional<std::string>& field) { return field; }
std::optional<std::string> value_of(std::int64_t field) { return std::to_string(field); }
std::optional<std::string> value_of(const std::optional<std::int64_t>& field) {
  return field ? value_of(*field) : std::nullopt;
}
std::optional<std::string> value_of(bool field) { return field ? "1" : "0"; }

constexpr auto kTenantColumns = [](auto& tenant, auto use) { for_each_column(tenant, use); };
constexpr auto kFlagColumns = [](auto& flag, auto use) { for_each_flag_column(flag, use); };

template <class Record, class Columns>
Parameters parameters_of(const Record& record, Columns columns) {
  Parameters out;
  columns(record, [&out](const char*, const auto& field) { out.push_back(value_of(field)); });
  return out;
}

template <class Record, class Columns>
std::string names_of(Columns columns) {
  std::string out;
  const Record record{};
  columns(record, [&out](const char* column, const auto&) { out.append(out.empty() ? "" : ", ").append(column); });
  return out;
}

// `key` names a row in the eyes of people; the id and the time of the row that is there stay.
template <class Record, class Columns>
std::string upsert(std::string_view table, std::string_view key, Columns columns, const Dialect& dialect) {
  std::string values;
  std::string changes;
  int number = 0;
  const Record record{};
  columns(record, [&](std::string_view column, const auto&) {
    values.append("$").append(std::to_string(++number)).append(", ");
    if (column != "id" && column != key) changes.append(column).append(" = excluded.").append(column).append(", ");
  });
  const std::string now(dialect.now);
  return "INSERT INTO " + std::string(table) + " (" + names_of<Record>(columns) +
         ", inserted_at, updated_at) VALUES (" + values + now + ", " + now + ") ON CONFLICT (" + std::string(key) +
         ") DO UPDATE SET " + changes + "updated_at = excluded.updated_at";
}

std::string time_of(std::string_view column, const Dialect& dialect) {
  return std::string(dialect.before_time) + std::string(column) + std::string(dialect.behind_time);
}

// Of that tenant, or of all that have a name.
std::pair<std::string, Parameters> where(std::string_view column, const std::optional<std::string>& external_id) {
  if (!external_id) return {" WHERE " + std::string(column) + " IS NOT NULL", {}};
  return {" WHERE " + std::string(column) + " = $1", {external_id}};
}

TenantRecord read_tenant(Row& row) {
  TenantRecord tenant;
  for_each_column(tenant, [&row](const char*, auto&& field) { read(row, field); });
  read(row, tenant.gcm_migrated);
  tenant.inserted_at = row.text();
  return tenant;
}

TenantExtension read_extension(Row& row) {
  TenantExtension extension{.settings = "{}"};
  for (std::string* text :
       {&extension.id, &extension.type, &extension.settings, &extension.inserted_at, &extension.updated_at})
    read(row, *text);
  return extension;
}

// One statement that changes rows.
Result<std::int64_t> change_rows(Database& database, const std::string& sql, const Parameters& parameters,
                                 std::string_view doing) {
  std::int64_t rows = 0;
  const auto changed = database.with(Access::kWrite, [&]() -> Result<void> {
    const auto ran = database.run(sql, parameters, doing, {});
    if (!ran) return tl::make_unexpected(ran.error());
    rows = *ran;
    return {};
  });
  if (!changed) return tl::make_unexpected(changed.error());
  return rows;
}

}  // namespace

std::optional<std::int64_t> Row::optional_integer() {
  const auto text = optional_text();
  if (!text) return std::nullopt;
  std::int64_t value = 0;
  std::from_chars(text->data(), text->data() + text->size(), value);
  return value;
}

std::optional<bool> Row::optional_boolean() {
  const auto text = optional_text();
  if (!text) return std::nullopt;
  return text == "t" || text == "1";
}

ControlStore::ControlStore(std::unique_ptr<Database> database) : database_(std::move(database)) {}
ControlStore::~ControlStore() = default;

Result<void> ControlStore::set_up() { return database_->set_up(); }
Result<bool> ControlStore::has_changed() { return database_->has_changed(); }
bool ControlStore::is_shared() const { return database_->is_shared(); }
Failure ControlStore::last_failure() const { return database_->last_failure(); }
void ControlStore::interrupt() { database_->interrupt(); }

Result<std::vector<TenantRecord>> ControlStore::load_tenants() {
  std::vector<TenantRecord> tenants;
  const auto loaded = database_->with(Access::kRead, [&]() -> Result<void> {
    auto selected = select_tenants(std::nullopt);
    if (!selected) return tl::make_unexpected(selected.error());
    tenants = *std::move(selected);
    return {};
  });
  if (!loaded) return tl::make_unexpected(loaded.error());
  return tenants;
}

Result<std::optional<TenantRecord>> ControlStore::find_tenant(std::string_view external_id) {
  std::optional<TenantRecord> tenant;
  const auto found = database_->with(Access::kRead, [&]() -> Result<void> {
    auto selected = select_tenant(std::string(external_id));
    if (!selected) return tl::make_unexpected(selected.error());
    tenant = *std::move(selected);
    return {};
  });
  if (!found) return tl::make_unexpected(found.error());
  return tenant;
}

Result<std::optional<TenantRecord>> ControlStore::change_tenant(const std::string& external_id, const Change& change) {
  std::optional<TenantRecord> tenant;
  const auto changed = database_->with(Access::kWrite, [&]() -> Result<void> {
    for (const std::string& lock : database_->dialect().lock_tenant) {
      const auto locked = database_->run(lock, {external_id}, "locking tenant " + external_id + " in", {});
      if (!locked) return tl::make_unexpected(locked.error());
    }
    auto current = select_tenant(external_id);
    if (!current) return tl::make_unexpected(current.error());
    if (const auto write = change(*current)) {
      if (const auto written = write_tenant(*write); !written) return written;
      current = select_tenant(external_id);  // with the times that are now
      if (!current) return tl::make_unexpected(current.error());
    }
    tenant = *std::move(current);
    return {};
  });
  if (!changed) return tl::make_unexpected(changed.error());
  return tenant;
}

Result<void> ControlStore::put_tenant(const TenantRecord& record, Extensions extensions) {
  const auto changed = change_tenant(record.external_id, [&](const auto&) { return Write{record, extensions}; });
  if (!changed) return tl::make_unexpected(changed.error());
  return {};
}

Result<bool> ControlStore::delete_tenant(std::string_view external_id) {
  const std::string name(external_id);
  return change_rows(*database_, "DELETE FROM tenants WHERE external_id = $1", {name},
                     "deleting tenant " + name + " from")
      .map([](std::int64_t rows) { return rows > 0; });
}

Result<bool> ControlStore::swap_secret(std::string_view external_id, const Swap& swap) {
  const std::string name(external_id);
  return change_rows(*database_, "UPDATE tenants SET jwt_secret = $1 WHERE external_id = $2 AND jwt_secret = $3",
                     {swap.after, name, swap.before}, "writing tenant " + name + " to")
      .map([](std::int64_t rows) { return rows > 0; });
}

Result<bool> ControlStore::swap_settings(std::string_view external_id, std::string_view type, const Swap& swap) {
  const std::string name(external_id);
  return change_rows(
             *database_,
             "UPDATE extensions SET settings = $1 WHERE tenant_external_id = $2 AND type = $3 AND settings = $4",
             {swap.after, name, std::string(type), swap.before}, "writing tenant " + name + " to")
      .map([](std::int64_t rows) { return rows > 0; });
}

Result<void> ControlStore::mark_gcm_migrated(std::string_view external_id) {
  const std::string name(external_id);
  const std::string sql =
      "UPDATE tenants SET gcm_migrated_at = " + std::string(database_->dialect().now) + " WHERE external_id = $1";
  return change_rows(*database_, sql, {name}, "writing tenant " + name + " to").map([](std::int64_t) {});
}

Result<std::vector<FeatureFlag>> ControlStore::load_flags() {
  std::vector<FeatureFlag> flags;
  const auto loaded = database_->with(Access::kRead, [&]() -> Result<void> {
    flags.clear();
    const auto read_flag = [&flags](Row& row) {
      for_each_flag_column(flags.emplace_back(), [&row](const char*, auto&& field) { read(row, field); });
    };
    const auto ran = database_->run("SELECT " + names_of<FeatureFlag>(kFlagColumns) + " FROM feature_flags", {},
                                    "reading feature flags from", read_flag);
    if (!ran) return tl::make_unexpected(ran.error());
    return {};
  });
  if (!loaded) return tl::make_unexpected(loaded.error());
  std::ranges::sort(flags, {}, &FeatureFlag::name);
  return flags;
}

Result<void> ControlStore::put_flag(const FeatureFlag& flag) {
  const std::string sql = upsert<FeatureFlag>("feature_flags", "name", kFlagColumns, database_->dialect());
  return change_rows(*database_, sql, parameters_of(flag, kFlagColumns), "writing feature flag " + flag.name + " to")
      .map([](std::int64_t) {});
}

Result<bool> ControlStore::delete_flag(std::string_view name) {
  const std::string flag(name);
  return change_rows(*database_, "DELETE FROM feature_flags WHERE name = $1", {flag},
                     "deleting feature flag " + flag + " from")
      .map([](std::int64_t rows) { return rows > 0; });
}

// With their extensions, both in the order of their names.
Result<std::vector<TenantRecord>> ControlStore::select_tenants(const std::optional<std::string>& external_id) {
  const Dialect& dialect = database_->dialect();
  std::vector<TenantRecord> tenants;
  const auto [of_tenant, tenant_parameters] = where("external_id", external_id);
  const auto read_tenants =
      database_->run("SELECT " + names_of<TenantRecord>(kTenantColumns) + ", gcm_migrated_at IS NOT NULL, " +
                         time_of("inserted_at", dialect) + " FROM tenants" + of_tenant,
                     tenant_parameters, "reading tenants from", [&](Row& row) { tenants.push_back(read_tenant(row)); });
  if (!read_tenants) return tl::make_unexpected(read_tenants.error());
  std::ranges::sort(tenants, {}, &TenantRecord::external_id);

  std::unordered_map<std::string_view, TenantRecord*> by_name;
  for (TenantRecord& tenant : tenants) by_name.emplace(tenant.external_id, &tenant);
  const auto [of_extension, extension_parameters] = where("tenant_external_id", external_id);
  const auto read_extensions =
      database_->run("SELECT tenant_external_id, id, type, settings, " + time_of("inserted_at", dialect) + ", " +
                         time_of("updated_at", dialect) + " FROM extensions" + of_extension,
                     extension_parameters, "reading extensions from", [&](Row& row) {
                       const auto tenant = by_name.find(row.text());
                       if (tenant != by_name.end()) tenant->second->extensions.push_back(read_extension(row));
                     });
  if (!read_extensions) return tl::make_unexpected(read_extensions.error());
  for (TenantRecord& tenant : tenants) std::ranges::sort(tenant.extensions, {}, &TenantExtension::type);
  return tenants;
}

Result<std::optional<TenantRecord>> ControlStore::select_tenant(const std::string& external_id) {
  auto found = select_tenants(external_id);
  if (!found) return tl::make_unexpected(found.error());
  if (found->empty()) return std::optional<TenantRecord>();
  return std::optional<TenantRecord>(std::move(found->front()));
}

Result<void> ControlStore::write_tenant(const Write& write) {
  const Dialect& dialect = database_->dialect();
  const std::string& name = write.record.external_id;
  const std::string doing = "writing tenant " + name + " to";
  const auto put = database_->run(upsert<TenantRecord>("tenants", "external_id", kTenantColumns, dialect),
                                  parameters_of(write.record, kTenantColumns), doing, {});
  if (!put) return tl::make_unexpected(put.error());
  if (write.extensions == Extensions::kKeep) return {};
  const auto cleared = database_->run("DELETE FROM extensions WHERE tenant_external_id = $1", {name}, doing, {});
  if (!cleared) return tl::make_unexpected(cleared.error());
  const std::string now(dialect.now);
  const std::string insert =
      "INSERT INTO extensions (id, type, settings, tenant_external_id, inserted_at, updated_at) VALUES ($1, $2, $3, "
      "$4, " +
      now + ", " + now + ")";
  for (const TenantExtension& extension : write.record.extensions) {
    const auto inserted = database_->run(insert, {extension.id, extension.type, extension.settings, name}, doing, {});
    if (!inserted) return tl::make_unexpected(inserted.error());
  }
  return {};
}

}  // namespace rt::store
