#include "domain/tenants/attributes.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_map>

#include "domain/tenants/reencryption.h"
#include "protocol/json/walker.h"

namespace rt::tenants {
namespace {

constexpr std::string_view kBlank = "can't be blank";
constexpr std::string_view kInvalid = "is invalid";
constexpr std::string_view kSecretOrKeys = "either jwt_secret or jwt_jwks must be provided";
constexpr std::string_view kTaken = "has already been taken";
constexpr std::int64_t kIntegerMax = 2'147'483'647;  // of the columns

constexpr std::array<std::string_view, 6> kRequired = {"region",  "db_host", "db_port",
                                                       "db_name", "db_user", "db_password"};
constexpr std::string_view kPoolAlias = "postgres_changes_pool";
constexpr std::string_view kPool = "subcriber_pool_size";  // spelled so in every store there is

struct Default {
  std::string_view key;
  std::string_view json;
};
constexpr Default kDefaults[] = {{"poll_interval_ms", "100"},
                                 {"poll_max_changes", "100"},
                                 {"poll_max_record_bytes", "1048576"},
                                 {"publication", R"("supabase_realtime")"},
                                 {"slot_name", R"("supabase_realtime_replication_slot")"}};

// Digits with an optional sign, as a number or in quotes.
std::optional<std::int64_t> integer_of(json::Value value) {
  if (const auto number = value.integer()) return number;
  const auto text = value.string();
  if (!text) return std::nullopt;
  std::int64_t out = 0;
  const char* end = text->data() + text->size();
  const auto [stopped, error] = std::from_chars(text->data(), end, out);
  if (error != std::errc() || stopped != end) return std::nullopt;
  return out;
}

std::optional<bool> boolean_of(json::Value value) {
  if (value.type() == json::Type::kTrue) return true;
  if (value.type() == json::Type::kFalse) return false;
  const auto text = value.string();
  if (text == "true" || text == "1") return true;
  if (text == "false" || text == "0") return false;
  return std::nullopt;
}

std::string list_of(const std::vector<std::string>& items) {
  std::string out = "[";
  for (const std::string& item : items) out += (out.size() > 1 ? "," : "") + item;
  return out + "]";
}

// Calls `use(key, value)` for each member of an object; of members with the same name for the last one.
template <class Use>
void for_each_member(json::Value object, Use use) {
  std::vector<std::pair<std::string, json::Value>> all;
  std::unordered_map<std::string_view, std::size_t> last;
  json::Elements members(object);
  while (const auto value = members.next()) all.emplace_back(json::unescape(members.key()), *value);
  for (std::size_t i = 0; i < all.size(); ++i) last[all[i].first] = i;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (last[all[i].first] == i) use(all[i].first, all[i].second);
  }
}

// A store may have another spelling of the same: other spaces, another order of members.
bool is_same_json(const std::optional<std::string>& a, const std::optional<std::string>& b) {
  if (a == b) return true;
  if (!a || !b) return false;
  const auto one = json::walk_document(*a);
  const auto other = json::walk_document(*b);
  constexpr HashKey kKey{0x7265616c74696d65, 0x74656e616e747321};
  return one && other && json::hash_of(kKey, json::Value(one->text)) == json::hash_of(kKey, json::Value(other->text));
}

bool has_nul(std::string_view text) { return text.find('\0') != std::string_view::npos; }

std::vector<std::string> faults_of_settings(json::Value settings) {
  std::vector<std::string> faults;
  for (const std::string_view key : kRequired) {
    const auto value = settings.member(key);
    const auto text = value ? value->string() : std::nullopt;
    if (!value || value->is_null() || (text && is_blank(*text))) {
      faults.push_back(json::quoted(std::string(key) + " " + std::string(kBlank)));
    } else if (!text) {
      faults.push_back(json::quoted(std::string(key) + " " + std::string(kInvalid)));
    }
  }
  return faults;
}

// As they are stored: over the defaults, under the names of the store, what is secret encrypted.
std::string stored_settings(json::Value settings, std::span<const Default> defaults, const Encryption& encryption,
                            Random& random) {
  std::string out = "{";
  const auto add = [&out](std::string_view key, std::string_view value) {
    if (out.size() > 1) out += ',';
    out.append(json::quoted(key)).append(":").append(value);
  };
  for (const auto& [key, value] : defaults) {
    if (!settings.member(key)) add(key, value);
  }
  const bool has_alias = settings.member(kPoolAlias).has_value();
  for_each_member(settings, [&](std::string_view key, json::Value value) {
    if (key == kPool && has_alias) return;
    if (key == kPoolAlias) return add(kPool, value.text());
    const auto text = is_encrypted_setting(key) ? value.string() : std::nullopt;
    add(key, text ? json::quoted(encryption.encrypt(*text, random)) : value.text());
  });
  return out + "}";
}

}  // namespace

bool is_blank(std::string_view text) {
  return std::ranges::all_of(text, [](unsigned char c) { return c == ' ' || (c >= '\t' && c <= '\r'); });
}

bool AttributeFaults::are_none() const {
  return of_fields.empty() &&
         std::ranges::all_of(of_extensions, [](const std::string& extension) { return extension == "{}"; });
}

std::string AttributeFaults::json() const {
  std::string out = "{";
  const auto add = [&out](std::string_view field, const std::string& list) {
    if (out.size() > 1) out += ',';
    out.append(json::quoted(field)).append(":").append(list);
  };
  for (const auto& [field, text] : of_fields) add(field, "[" + json::quoted(text) + "]");
  if (std::ranges::any_of(of_extensions, [](const std::string& extension) { return extension != "{}"; }))
    add("extensions", list_of(of_extensions));
  return out + "}";
}

// Reads one attribute after the other into a record and collects what is wrong.
class Attributes::Reader {
 public:
  Reader(const Attributes& attributes, TenantRecord& record, Incomplete incomplete)
      : attributes_(attributes), record_(record), incomplete_(incomplete) {}

  Result<Supplied, AttributeFaults> read() {
    text("name", record_.name, Blank::kIsEmpty);
    text("postgres_cdc_default", record_.cdc_default, Blank::kRefuse);
    adapter();
    TenantLimits& limits = record_.limits;
    integer("max_concurrent_users", limits.concurrent_users_max);
    integer("max_events_per_second", limits.events_per_second_max);
    integer("max_bytes_per_second", limits.bytes_per_second_max);
    integer("max_channels_per_client", limits.channels_per_client_max);
    integer("max_joins_per_second", limits.joins_per_second_max);
    integer("max_presence_events_per_second", limits.presence_events_per_second_max);
    integer("max_payload_size_in_kb", limits.payload_kb_max);
    integer("migrations_ran", record_.migrations_ran);
    integer_or_null("max_client_presence_events_per_window", limits.client_presence_events_max);
    integer_or_null("client_presence_window_ms", limits.client_presence_window_ms);
    boolean("suspend", record_.suspended);
    boolean("private_only", record_.private_only);
    boolean("presence_enabled", record_.presence_enabled);
    flags();
    keys();
    secret();
    extensions();
    if (!faults_.are_none()) return tl::make_unexpected(std::move(faults_));
    return supplied_;
  }

 private:
  enum class Blank : std::uint8_t { kRefuse, kIsEmpty };

  std::optional<json::Value> given(std::string_view name) const { return attributes_.object_.member(name); }
  void fault(std::string_view field, std::string_view text) { faults_.of_fields.emplace_back(field, text); }

  void text(std::string_view name, std::string& out, Blank blank) {
    const auto value = given(name);
    if (!value) return;
    const auto text = value->string();
    if (!text && !value->is_null()) return fault(name, kInvalid);
    if (!text || is_blank(*text)) {
      if (blank == Blank::kRefuse) return fault(name, kBlank);
      return out.clear();
    }
    if (text->size() > kNameBytesMax) return fault(name, "should be at most 255 bytes");
    if (has_nul(*text)) return fault(name, kInvalid);
    out = *text;
  }

  void adapter() {
    const auto value = given("broadcast_adapter");
    if (!value) return;
    const auto text = value->string();
    if (text != "gen_rpc" && text != "phoenix") return fault("broadcast_adapter", kInvalid);
    record_.broadcast_adapter = *text;
  }

  void integer(std::string_view name, std::int64_t& out) {
    const auto value = given(name);
    if (!value) return;
    if (value->is_null()) return fault(name, kBlank);
    if (const auto number = checked(name, *value)) out = *number;
  }

  void integer_or_null(std::string_view name, std::optional<std::int64_t>& out) {
    const auto value = given(name);
    if (!value) return;
    if (value->is_null()) return out.reset();
    if (const auto number = checked(name, *value)) out = number;
  }

  std::optional<std::int64_t> checked(std::string_view name, json::Value value) {
    const auto number = integer_of(value);
    if (!number) {
      fault(name, kInvalid);
    } else if (*number < 0) {
      fault(name, "must be greater than or equal to 0");
    } else if (*number > kIntegerMax) {
      fault(name, "must be less than or equal to 2147483647");
    } else {
      return number;
    }
    return std::nullopt;
  }

  void boolean(std::string_view name, bool& out) {
    const auto value = given(name);
    if (!value) return;
    if (value->is_null()) {
      out = false;
    } else if (const auto given_value = boolean_of(*value)) {
      out = *given_value;
    } else {
      fault(name, kInvalid);
    }
  }

  void flags() {
    const auto value = given("feature_flags");
    if (!value) return;
    bool is_valid = value->is_object() && value->text().size() <= kObjectBytesMax;
    if (is_valid)
      for_each_member(*value, [&](std::string_view, json::Value one) {
        is_valid = is_valid && (one.type() == json::Type::kTrue || one.type() == json::Type::kFalse);
      });
    if (!is_valid) return fault("feature_flags", kInvalid);
    record_.feature_flags = value->text();
  }

  void keys() {
    const auto value = given("jwt_jwks");
    if (!value) return;
    if (value->is_null()) return record_.jwt_jwks.reset();
    if (!value->is_object() || value->text().size() > kKeysBytesMax) return fault("jwt_jwks", kInvalid);
    record_.jwt_jwks = value->text();
  }

  void secret() {
    if (const auto value = given("jwt_secret")) {
      const auto text = value->string();
      if ((!text && !value->is_null()) || (text && (text->size() > kSecretBytesMax || has_nul(*text))))
        return fault("jwt_secret", kInvalid);
      supplied_.jwt_secret = true;
      record_.jwt_secret =
          !text || is_blank(*text) ? std::string() : attributes_.encryption_.encrypt(*text, attributes_.random_);
    }
    if (record_.jwt_secret.empty() && !record_.jwt_jwks) fault("jwt_secret", kSecretOrKeys);
  }

  void extensions() {
    const auto list = given("extensions");
    if (!list) return;
    if (!list->is_array()) return fault("extensions", kInvalid);
    supplied_.extensions = true;
    record_.extensions.clear();
    json::Elements elements(*list);
    while (const auto element = elements.next()) {
      if (faults_.of_extensions.size() == kExtensionsMax) return fault("extensions", "should have at most 16 items");
      faults_.of_extensions.push_back(extension(*element));
    }
  }

  // Returns its faults.
  std::string extension(json::Value element) {
    const auto type_value = element.member("type");
    const auto settings = element.member("settings");
    auto type = type_value ? type_value->string() : std::nullopt;
    if (type && is_blank(*type)) type.reset();
    const bool is_complete = type && settings && !settings->is_null();
    if (!is_complete && incomplete_ == Incomplete::kSkip) return "{}";
    if (!type) return "{\"type\":[" + json::quoted(type_value && !type_value->is_null() ? kInvalid : kBlank) + "]}";
    if (type->size() > kNameBytesMax || has_nul(*type)) return "{\"type\":[" + json::quoted(kInvalid) + "]}";
    if (!settings || settings->is_null()) return "{\"settings\":[" + json::quoted(kBlank) + "]}";
    if (!settings->is_object() || settings->text().size() > kObjectBytesMax)
      return "{\"settings\":[" + json::quoted(kInvalid) + "]}";
    if (type == "postgres") type = "postgres_cdc_rls";
    const bool is_database = type == "postgres_cdc_rls";
    if (is_database) {
      if (const auto faults = faults_of_settings(*settings); !faults.empty())
        return "{\"settings\":" + list_of(faults) + "}";
    }
    if (std::ranges::find(record_.extensions, *type, &TenantExtension::type) != record_.extensions.end())
      return "{\"type\":[" + json::quoted(kTaken) + "]}";
    const auto defaults = is_database ? std::span(kDefaults) : std::span<const Default>();
    record_.extensions.push_back(
        {.id = attributes_.random_.uuid(),
         .type = *type,
         .settings = stored_settings(*settings, defaults, attributes_.encryption_, attributes_.random_)});
    return "{}";
  }

  static constexpr std::size_t kExtensionsMax = 16;
  static constexpr std::size_t kObjectBytesMax = 16 * 1024;  // of settings, of feature flags
  static constexpr std::size_t kKeysBytesMax = 64 * 1024;
  static constexpr std::size_t kSecretBytesMax = 4096;

  const Attributes& attributes_;
  TenantRecord& record_;
  const Incomplete incomplete_;
  Supplied supplied_;
  AttributeFaults faults_;
};

std::optional<std::string> Attributes::external_id(json::Value object) {
  const auto value = object.member("external_id");
  auto text = value ? value->string() : std::nullopt;
  if (text && is_blank(*text)) text.reset();
  return text;
}

AttributeFaults Attributes::faults_of_new() const {
  TenantRecord record;
  AttributeFaults faults;
  if (auto applied = apply(record, Incomplete::kRefuse); !applied) faults = std::move(applied.error());
  const auto name = external_id(object_);
  if (!name) faults.of_fields.insert(faults.of_fields.begin(), {"external_id", std::string(kBlank)});
  return faults;
}

Result<Supplied, AttributeFaults> Attributes::apply(TenantRecord& record, Incomplete incomplete) const {
  return Reader(*this, record, incomplete).read();
}

Effects& Effects::operator|=(const Effects& other) {
  keys |= other.keys;
  disconnects |= other.disconnects;
  event_rate |= other.event_rate;
  join_rate |= other.join_rate;
  presence_rate |= other.presence_rate;
  database |= other.database;
  any |= other.any;
  return *this;
}

Effects effects_of(const TenantRecord& before, const TenantRecord& after, const Supplied& supplied,
                   const Encryption& encryption) {
  Effects out;
  const bool is_another = before.id != after.id;  // it was deleted and made again
  out.keys = is_another || supplied.jwt_secret || before.jwt_secret != after.jwt_secret ||
             !is_same_json(before.jwt_jwks, after.jwt_jwks);
  out.disconnects = out.keys || before.suspended != after.suspended || before.private_only != after.private_only;
  out.event_rate = before.limits.events_per_second_max != after.limits.events_per_second_max;
  out.join_rate = before.limits.joins_per_second_max != after.limits.joins_per_second_max;
  out.presence_rate = before.limits.presence_events_per_second_max != after.limits.presence_events_per_second_max;
  out.database = out.keys || before.suspended != after.suspended || supplied.extensions ||
                 !are_same(before.extensions, after.extensions, encryption);
  out.any = out.disconnects || out.database || before.limits != after.limits || before.name != after.name ||
            before.presence_enabled != after.presence_enabled || before.cdc_default != after.cdc_default ||
            before.broadcast_adapter != after.broadcast_adapter || before.migrations_ran != after.migrations_ran ||
            !is_same_json(before.feature_flags, after.feature_flags);
  return out;
}

}  // namespace rt::tenants
