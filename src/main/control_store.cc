#include "main/control_store.h"

#include "io/store/postgres_store.h"
#include "io/store/sqlite_store.h"
#include "main/replica.h"

namespace rt::app {
namespace {

store::PostgresConfig control_database(const Config& config) {
  store::PostgresConfig out;
  if (config.db_host) out.host = *config.db_host;
  if (config.db_port) out.port = *config.db_port;
  out.user = config.db_user;
  if (config.db_password) out.password = *config.db_password;
  out.database = config.db_name;
  out.after_connect_query = config.db_after_connect_query;
  out.uses_tls = config.db_ssl;
  out.ca_file = config.db_ssl_ca_cert;
  out.family = config.db_ip_version == IpVersion::kAny  ? store::AddressFamily::kAny
               : config.db_ip_version == IpVersion::kV4 ? store::AddressFamily::kV4
                                                        : store::AddressFamily::kV6;
  out.replica_host = replica_host(config);
  return out;
}

}  // namespace

tenants::Encryption encryption(const Config& config) {
  using Format = tenants::Encryption::Format;
  const bool writes_current = config.db_enc_write_gcm && config.db_enc_key_gcm;
  return {*config.db_enc_key, config.db_enc_key_gcm, writes_current ? Format::kCurrent : Format::kLegacy};
}

Result<std::unique_ptr<store::ControlStore>> control_store(const Config& config, Log& log) {
  if (store_kind(config) == StoreKind::kPostgres) return store::make_postgres_store(control_database(config), log);
  return store::open_sqlite_store(config.data_dir + "/control.sqlite");
}

}  // namespace rt::app
