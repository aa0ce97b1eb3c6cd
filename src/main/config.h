// The configuration: every setting by name, read once at boot from the environment, with command-line flags over it.
//
// Text is parsed and cross-checked here and nowhere else; below, each part takes its own struct. A bad value is an
// error that names the variable, the value and what to do.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/ip_address.h"
#include "base/log.h"
#include "base/result.h"
#include "main/http_url.h"
#include "model/tenant.h"
#include "services/database/tenant_settings.h"

namespace rt::app {

enum class IpVersion { kAny, kV4, kV6 };  // kAny: dual stack where the machine has IPv6

enum class StoreKind { kSqlite, kPostgres };

// How the rights of private channels are asked: by rows that are rolled back, or without writing where that is sure.
enum class PolicyChecks { kProbes, kExpressions };
enum class SendMethod { kAuto, kUring, kSendmsg };  // kAuto: io_uring where the machine allows it

enum class TlsOffload { kAuto, kOff };  // kAuto: the kernel encrypts where it can

struct ClaimExpectation {
  std::string claim;
  std::string expected_json;
};

struct Config {
  // Listener
  std::string listen_address;  // empty: every address of the family
  std::uint16_t port = 4000;   // 0: a free one
  IpVersion ip_version = IpVersion::kAny;
  std::string ready_file;  // receives the port, and on a second line that of TLS, once the server answers
  std::optional<std::uint16_t> tls_port;  // nullopt: no TLS; 0: a free one
  std::string tls_listen_address;         // empty: as listen_address
  std::string tls_cert_file;
  std::string tls_key_file;
  TlsOffload tls_offload = TlsOffload::kAuto;
  std::int64_t connections_max = 16384;
  std::size_t header_value_bytes_max = 4096;
  std::string request_id_baggage_key = "request-id";
  std::vector<IpBlock> trusted_proxies;  // whose word counts on who a client is
  bool proxy_protocol = false;           // their connections begin with a PROXY header
  std::chrono::milliseconds http_header_timeout{10'000};
  std::chrono::milliseconds http_body_timeout{30'000};
  int workers = 0;  // 0: one for each core
  bool debug_echo = false;
  SendMethod send = SendMethod::kAuto;

  // Sockets
  std::chrono::milliseconds socket_idle_timeout{60'000};
  std::size_t send_queue_bytes_max = 16 * 1024 * 1024;
  std::chrono::milliseconds send_blocked_timeout{30'000};
  std::size_t worker_send_queue_bytes_max = std::size_t{1} << 30;  // per worker, all queues together
  std::size_t worker_receive_bytes_max = std::size_t{1} << 29;     // per worker, all incomplete messages together
  std::size_t socket_channel_bytes_max = 50'000'000;               // what the channels of one socket may hold
  std::chrono::milliseconds no_channel_timeout{600'000};
  std::chrono::milliseconds long_poll_window{10'000};  // how long a poll waits for messages
  std::chrono::milliseconds connect_error_backoff{2'000};
  std::chrono::milliseconds channel_error_backoff{5'000};
  std::chrono::milliseconds token_confirm_interval{300'000};
  std::chrono::milliseconds tenant_cache_expiration{30'000};

  // Presence
  std::int64_t client_presence_max_calls = 5;  // of one channel in a window, where the tenant has no number of its own
  std::chrono::milliseconds client_presence_window{30'000};
  std::chrono::milliseconds presence_coalesce_max{50};

  std::optional<StoreKind> store;  // nullopt: Postgres where db_host is given, else SQLite
  // Of the control database, and of the seeded tenant's.
  std::optional<std::string> db_host;
  std::optional<std::string> db_port;
  std::string db_user = "supabase_admin";
  std::optional<std::string> db_password;
  std::string db_name = "postgres";
  std::string db_after_connect_query;
  bool db_ssl = false;
  std::string db_ssl_ca_cert;
  IpVersion db_ip_version = IpVersion::kAny;  // kAny: addresses of IPv6 are tried first
  // Copies that nodes read from (replica.h); all empty: there is none.
  std::string db_replica_host;
  std::string db_host_replica_fra;
  std::string db_host_replica_iad;
  std::string db_host_replica_sin;
  std::string db_host_replica_sjc;
  std::string db_master_region;   // of the control database; empty: that of this node
  std::string aws_execution_env;  // `AWS_ECS_FARGATE`: regions are named as AWS does
  std::chrono::milliseconds replication_ready_timeout{60'000};

  bool compression = false;  // permessage-deflate, for clients that offer it
  std::size_t compression_threshold_bytes = 512;
  int compression_level = 6;

  // Lifecycle
  std::chrono::milliseconds drain_delay{2'000};
  std::chrono::milliseconds drain_timeout{30'000};

  // Secrets and tenants
  std::string data_dir = ".datafuse";
  bool require_secrets = false;
  std::optional<std::string> api_jwt_secret;      // given or, after resolve_secrets(), made
  std::optional<std::string> metrics_jwt_secret;  // likewise
  std::optional<std::string> api_jwt_jwks;        // JSON text
  std::optional<std::string> db_enc_key;          // 16 bytes, given or made
  std::optional<std::string> db_enc_key_gcm;      // 32 bytes
  bool db_enc_write_gcm = false;
  std::optional<std::string> api_jwt_secret_next;  // operators' tokens may be signed with it too
  std::vector<std::string> api_token_blocklist;
  std::vector<std::string> metrics_token_blocklist;
  std::vector<ClaimExpectation> claim_validators;
  bool seed_self_host = false;
  std::string self_host_tenant_name = "realtime-dev";
  std::string default_tenant;  // external id; empty: hosts that match no tenant are refused
  TenantLimits new_tenant_limits;

  // Databases of tenants
  bool run_janitor = false;  // old messages are dropped, and tenants without users forgotten
  std::chrono::milliseconds janitor_interval{14'400'000};
  std::chrono::milliseconds janitor_first_delay{600'000};  // besides the interval
  bool janitor_randomize = true;
  PolicyChecks policy_checks = PolicyChecks::kProbes;  // of tenants that do not say
  int migrations_max = 0;                              // at a time; 0: twice as many as there are cores
  database::SlotMode slot_mode = database::SlotMode::kAuto;
  std::optional<std::string> slot_name_suffix;  // nullopt: names of slots follow from database, tenant and node
  std::chrono::milliseconds resume_window{2'000};
  std::chrono::milliseconds resume_grace{15'000};
  std::chrono::milliseconds gap_age_max{60'000};  // 0: messages of a gap are lost
  std::int64_t gap_rows_max = 1'000;              // likewise
  std::chrono::milliseconds gap_overlap{10'000};

  // Metrics
  std::chrono::milliseconds metrics_cleaner_interval{1'800'000};
  std::chrono::milliseconds usage_interval{5'000};  // PROM_POLL_RATE
  bool metrics_pusher_enabled = false;
  std::optional<HttpUrl> metrics_pusher_url;
  std::string metrics_pusher_user = "realtime";
  std::optional<std::string> metrics_pusher_auth;
  std::chrono::milliseconds metrics_pusher_interval{30'000};
  std::chrono::milliseconds metrics_pusher_timeout{15'000};
  bool metrics_pusher_compress = true;
  std::vector<std::string> metrics_pusher_extra_labels;  // `name=value`

  // Process
  std::string app_name = "realtime";
  std::string region;
  LogConfig log;
  std::optional<std::uint64_t> open_files_max;  // RLIMIT_NOFILE
  bool log_healthchecks = true;
  bool log_usage = true;
  std::vector<std::string> warnings;  // settings that are accepted but have no effect, for the log
};

// How a variable of the environment is looked up; tests hand in their own.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;
Environment process_environment();

// `arguments` are those behind `serve`. An error is one or more lines for the terminal. When --help was asked for, the
// help text is returned in `help` and the config is not to be used.
// The one in force.
StoreKind store_kind(const Config& config);

struct ParsedConfig {
  Config config;
  std::optional<std::string> help;
};
Result<ParsedConfig> parse_config(const std::vector<std::string>& arguments, const Environment& environment);

// What a server with these arguments would run with.
struct EffectiveSetting {
  std::string variable;  // empty: a flag only
  std::string flag;      // empty: a variable only
  std::string value;     // of a secret that is given: `(hidden)`
  std::string source;    // `--port`, `env PORT` or `default`
};
// The error is that of parse_config().
Result<std::vector<EffectiveSetting>> effective_settings(const std::vector<std::string>& arguments,
                                                         const Environment& environment);

}  // namespace rt::app
