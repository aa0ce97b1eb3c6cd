#include "services/database/tenant_settings.h"

#include <algorithm>
#include <utility>

#include "protocol/json/value.h"

namespace rt::database {
namespace {

// More connections of one node to one database, or a longer wait, are nobody's intention.
constexpr std::int64_t kPoolSizeMax = 100;
constexpr std::int64_t kQueueTargetMax = 60'000;
constexpr std::int64_t kPollIntervalMax = 60'000;
constexpr std::int64_t kRecordBytesMax = 1'000'000'000;  // more than Postgres lets a row have

// What is neither is none, as with the numbers.
std::optional<PolicyMethod> method_of(std::string_view text) {
  if (text == "probes") return PolicyMethod::kProbes;
  if (text == "expressions") return PolicyMethod::kExpressions;
  return std::nullopt;
}

// Members of the stored object, decrypted where they are stored encrypted.
class Stored {
 public:
  Stored(json::Value object, const tenants::Encryption& encryption) : object_(object), encryption_(encryption) {}

  std::string plain(std::string_view key, const std::string& otherwise) const {
    const auto value = object_.member(key);
    return (value ? value->string() : std::nullopt).value_or(otherwise);
  }
  Result<std::string> secret(std::string_view key) const {
    auto text = encryption_.decrypt(plain(key, ""));
    if (!text) return fail(text.error(), key);
    if (text->find('\0') != std::string::npos) return fail(std::string(key) + " has a NUL in it");
    return text;
  }
  // Of `otherwise` where it is no positive integer.
  std::int64_t positive(std::string_view key, std::int64_t otherwise, std::int64_t max) const {
    const auto value = object_.member(key);
    const auto number = value ? value->integer() : std::nullopt;
    return number && *number > 0 ? std::min(*number, max) : otherwise;
  }
  bool is_false(std::string_view key) const {
    const auto value = object_.member(key);
    return value && value->text() == "false";
  }

 private:
  json::Value object_;
  const tenants::Encryption& encryption_;
};

}  // namespace

std::optional<SlotMode> parse_slot_mode(std::string_view text) {
  if (text == "auto") return SlotMode::kAuto;
  if (text == "durable") return SlotMode::kDurable;
  if (text == "temporary") return SlotMode::kTemporary;
  return std::nullopt;
}

Result<std::optional<TenantSettings>> settings_of(const TenantRecord& tenant, const tenants::Encryption& encryption) {
  const auto found = std::ranges::find(tenant.extensions, "postgres_cdc_rls", &TenantExtension::type);
  if (found == tenant.extensions.end()) return std::nullopt;
  const auto document = json::walk_document(found->settings);
  if (!document || !json::Value(document->text).is_object()) return fail("its settings are no JSON object");
  const Stored stored(json::Value(document->text), encryption);
  TenantSettings out;
  const std::pair<std::string_view, std::string*> wanted[] = {{"db_host", &out.connection.host},
                                                              {"db_port", &out.connection.port},
                                                              {"db_name", &out.connection.database},
                                                              {"db_user", &out.connection.user},
                                                              {"db_password", &out.connection.password}};
  for (const auto& [key, to] : wanted) {
    auto text = stored.secret(key);
    if (!text) return tl::make_unexpected(text.error());
    *to = *std::move(text);
  }
  out.connection.family = postgres::AddressFamily::kV6ThenV4;
  out.connection.tls = stored.is_false("ssl_enforced") ? postgres::TlsMode::kOff : postgres::TlsMode::kUnverified;
  out.pool_size = static_cast<std::size_t>(stored.positive("db_pool", 1, kPoolSizeMax));
  out.subscription_pool_size = static_cast<std::size_t>(stored.positive("subs_pool_size", 1, kPoolSizeMax));
  out.queue_target = std::chrono::milliseconds(stored.positive("db_queue_target", 5'000, kQueueTargetMax));
  out.policy_method = method_of(stored.plain("policy_checks", ""));
  out.publication = stored.plain("publication", out.publication);
  out.slot_name = stored.plain("slot_name", out.slot_name);
  out.poll_interval = std::chrono::milliseconds(stored.positive("poll_interval_ms", 100, kPollIntervalMax));
  out.record_bytes_max = static_cast<std::size_t>(stored.positive("poll_max_record_bytes", 1'048'576, kRecordBytesMax));
  out.subscribing_max = static_cast<std::size_t>(stored.positive("subcriber_pool_size", 4, kPoolSizeMax));
  out.slot_mode = parse_slot_mode(stored.plain("slot_mode", ""));
  out.region = stored.plain("region", "");
  return out;
}

}  // namespace rt::database
