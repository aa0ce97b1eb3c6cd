// Whatever an operator sends of a tenant: faults are a JSON object, and a record that came of it holds JSON where it
// has to, each type of extension once, and no text of a database's password.

#include <algorithm>
#include <cstdint>
#include <set>
#include <span>
#include <string>

#include "base/check.h"
#include "base/utf8.h"
#include "domain/tenants/attributes.h"
#include "protocol/json/walker.h"

namespace {

using namespace rt;

class Zeros final : public Random {
 public:
  void fill(std::span<std::byte> out) override { std::fill(out.begin(), out.end(), std::byte{0}); }
};

void check_is_object(const std::string& text) {
  const auto document = json::walk_document(text);
  RT_CHECK(document && document->type == json::Type::kObject && document->text.size() == text.size());
}

void check_record(const TenantRecord& record, const tenants::Encryption& encryption) {
  RT_CHECK(!record.jwt_secret.empty() || record.jwt_jwks);
  if (record.jwt_jwks) check_is_object(*record.jwt_jwks);
  check_is_object(record.feature_flags);
  RT_CHECK(is_valid_utf8(record.name) && record.name.size() <= tenants::kNameBytesMax);
  RT_CHECK(record.limits.events_per_second_max >= 0);
  std::set<std::string> types;
  for (const TenantExtension& extension : record.extensions) {
    RT_CHECK(types.insert(extension.type).second && extension.type != "postgres");
    check_is_object(extension.settings);
    const json::Value settings(extension.settings);
    RT_CHECK(!settings.member("postgres_changes_pool"));
    if (extension.type != "postgres_cdc_rls") continue;
    RT_CHECK(encryption.decrypt(*settings.member("db_password")->string()));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto document = json::walk_document(text);
  if (!document || document->type != json::Type::kObject) return 0;
  Zeros zeros;
  const tenants::Encryption encryption("1234567890123456", std::nullopt, tenants::Encryption::Format::kLegacy);
  const tenants::Attributes attributes(json::Value(document->text), encryption, zeros);
  check_is_object(attributes.faults_of_new().json());
  for (const auto incomplete : {tenants::Incomplete::kRefuse, tenants::Incomplete::kSkip}) {
    TenantRecord record{.external_id = "acme", .jwt_secret = "stored"};
    const TenantRecord before = record;
    const auto supplied = attributes.apply(record, incomplete);
    if (!supplied) {
      check_is_object(supplied.error().json());
      continue;
    }
    check_record(record, encryption);
    const tenants::Effects effects = tenants::effects_of(before, record, *supplied, encryption);
    RT_CHECK(effects.any || (!effects.disconnects && !effects.keys && !effects.event_rate && !effects.join_rate));
  }
  return 0;
}
