#include "main/settings_table.h"

#include <algorithm>

#include "domain/tenants/encryption.h"
#include "protocol/json/value.h"

namespace rt::app {
namespace {

// A queue must hold the largest frame, or that frame could never be delivered.
constexpr Range kBufferBytes{5'000'000, INT64_MAX};

Target ip_version(IpVersion Config::* member) {
  return {[=](Config& config, const Given& given) -> Result<void> {
            if (given.text != "ipv4" && given.text != "ipv6") {
              return fail(given.source + " expected ipv4 or ipv6, got \"" + given.text + "\"");
            }
            config.*member = given.text == "ipv4" ? IpVersion::kV4 : IpVersion::kV6;
            return {};
          },
          [](const Config&) { return std::string(); }};
}

Target listen_address(std::string Config::* member) {
  Target target = text(member);
  target.parse = [=](Config& config, const Given& given) -> Result<void> {
    if (!given.text.empty() && address_family(given.text) == IpVersion::kAny) {
      return fail(given.source + " expected an IP address, got \"" + given.text +
                  "\": use for example 127.0.0.1 or ::1");
    }
    config.*member = given.text;
    return {};
  };
  return target;
}

Target tls_port() {
  return {[](Config& config, const Given& given) -> Result<void> {
            return parse_integer(given, {0, 65535}).map([&](std::int64_t port) {
              config.tls_port = static_cast<std::uint16_t>(port);
            });
          },
          [](const Config&) { return std::string(); }};
}

Target tls_offload() {
  return {[](Config& config, const Given& given) -> Result<void> {
            if (given.text != "auto" && given.text != "off") {
              return fail(given.source + " expected auto or off, got \"" + given.text + "\"");
            }
            config.tls_offload = given.text == "auto" ? TlsOffload::kAuto : TlsOffload::kOff;
            return {};
          },
          [](const Config&) -> std::string { return "auto"; }};
}

Target non_empty(std::string Config::* member) {
  Target target = text(member);
  target.parse = [=](Config& config, const Given& given) -> Result<void> {
    if (given.text.empty()) return fail(given.source + " is empty: give it a value, or unset it for the default");
    config.*member = given.text;
    return {};
  };
  return target;
}

// As the reference server has it: `True` and `1` are not `true`.
Target exact_true(bool Config::* member) {
  Target target = boolean(member);
  target.parse = [=](Config& config, const Given& given) -> Result<void> {
    config.*member = given.text == "true";
    return {};
  };
  return target;
}

// True switches it off.
Target negated_boolean(bool Config::* member) {
  return {[=](Config& config, const Given& given) -> Result<void> {
            return parse_boolean(given).map([&](bool disabled) { config.*member = !disabled; });
          },
          [=](const Config& config) -> std::string { return config.*member ? "false" : "true"; }};
}

Target log_level() {
  return {[](Config& config, const Given& given) -> Result<void> {
            const auto level = parse_log_level(given.text);
            if (!level) {
              return fail(given.source + " expected a log level, got \"" + given.text +
                          "\": use debug, info, notice, warning, error, critical, alert or emergency");
            }
            config.log.level = *level;
            return {};
          },
          [](const Config&) -> std::string { return "info"; }};
}

Target log_format() {
  return {[](Config& config, const Given& given) -> Result<void> {
            if (given.text != "text" && given.text != "json") {
              return fail(given.source + " expected text or json, got \"" + given.text + "\"");
            }
            config.log.format = given.text == "json" ? LogFormat::kJson : LogFormat::kText;
            return {};
          },
          [](const Config&) -> std::string { return "text"; }};
}

// For a shell script an empty RLIMIT_NOFILE is as good as none, and container images do set it so.
Target open_files() {
  return {[](Config& config, const Given& given) -> Result<void> {
            if (given.text.empty()) return {};
            const auto value = parse_integer(given, {1, INT64_MAX});
            if (!value) return fail(value.error().message);
            config.open_files_max = static_cast<std::uint64_t>(*value);
            return {};
          },
          [](const Config&) { return std::string(); }};
}

// The error tells the length, never the key.
Target key_of(std::optional<std::string> Config::* member, std::size_t bytes) {
  Target target = secret(member);
  target.parse = [=](Config& config, const Given& given) -> Result<void> {
    if (given.text.size() != bytes) {
      return fail(given.source + " expected a key of " + std::to_string(bytes) + " bytes, got " +
                  std::to_string(given.text.size()) + " bytes: `openssl rand -hex " + std::to_string(bytes / 2) +
                  "` makes one");
    }
    config.*member = given.text;
    return {};
  };
  return target;
}

Target jwks() {
  Target target = secret(&Config::api_jwt_jwks);
  target.parse = [](Config& config, const Given& given) -> Result<void> {
    const auto document = json::walk_document(given.text);
    if (!document || document->type != json::Type::kObject) {
      return fail(given.source + " is not a valid JSON object: set it to {\"keys\":[...]}, or unset it");
    }
    config.api_jwt_jwks = std::string(document->text);
    return {};
  };
  return target;
}

Target slot_mode() {
  return {[](Config& config, const Given& given) -> Result<void> {
            const auto mode = database::parse_slot_mode(given.text);
            if (!mode) return fail(given.source + " expected auto, durable or temporary, got \"" + given.text + "\"");
            config.slot_mode = *mode;
            return {};
          },
          [](const Config&) -> std::string { return "auto"; }};
}

// As Postgres has names of slots; the base has the rest of the 63 letters.
Target slot_name_suffix() {
  constexpr std::size_t kBytesMax = 19;
  return {[](Config& config, const Given& given) -> Result<void> {
            const auto is_good = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; };
            if (given.text.size() > kBytesMax || !std::ranges::all_of(given.text, is_good)) {
              return fail(given.source + " expected at most " + std::to_string(kBytesMax) +
                          " lower-case letters, digits and underscores, got \"" + given.text + "\"");
            }
            config.slot_name_suffix = given.text;
            return {};
          },
          [](const Config& config) { return config.slot_name_suffix.value_or(""); }};
}

// Never shown: what is on it was a good token once.
Target blocklist(std::vector<std::string> Config::* member) {
  return {.parse = [=](Config& config, const Given& given) -> Result<void> {
            config.*member = parse_list(given.text);
            return {};
          },
          .show = [](const Config&) { return std::string(); },
          .is_secret = true};
}

Result<void> parse_claim_validators(Config& config, const Given& given) {
  const auto document = json::walk_document(given.text);
  if (!document || document->type != json::Type::kObject) {
    return fail("JWT claim validators is not a valid JSON object: set " + given.source +
                " to something like {\"iss\":\"https://example.com\"}");
  }
  config.claim_validators.clear();
  json::Elements members{json::Value(document->text)};
  while (const auto value = members.next()) {
    const std::string claim = json::unescape(members.key());
    std::erase_if(config.claim_validators, [&](const ClaimExpectation& other) { return other.claim == claim; });
    config.claim_validators.push_back({claim, std::string(value->text())});
  }
  return {};
}

Target claim_validators() {
  return {parse_claim_validators, [](const Config&) -> std::string { return "{}"; }};
}

Target store() {
  return {[](Config& config, const Given& given) -> Result<void> {
            if (given.text != "sqlite" && given.text != "postgres")
              return fail(given.source + " expected sqlite or postgres, got \"" + given.text + "\"");
            config.store = given.text == "sqlite" ? StoreKind::kSqlite : StoreKind::kPostgres;
            return {};
          },
          [](const Config&) -> std::string { return "sqlite"; }};
}

// An empty one is none.
Target given_text(std::optional<std::string> Config::* member, std::string shown_default) {
  return {[=](Config& config, const Given& given) -> Result<void> {
            if (!given.text.empty()) config.*member = given.text;
            return {};
          },
          [shown_default = std::move(shown_default)](const Config&) { return shown_default; }};
}

Target send_method() {
  return {[](Config& config, const Given& given) -> Result<void> {
            if (given.text != "auto" && given.text != "uring" && given.text != "sendmsg") {
              return fail(given.source + " expected auto, uring or sendmsg, got \"" + given.text + "\"");
            }
            config.send = given.text == "auto"    ? SendMethod::kAuto
                          : given.text == "uring" ? SendMethod::kUring
                                                  : SendMethod::kSendmsg;
            return {};
          },
          [](const Config&) -> std::string { return "auto"; }};
}

Target policy_checks() {
  return {[](Config& config, const Given& given) -> Result<void> {
            if (given.text != "probes" && given.text != "expressions")
              return fail(given.source + " expected probes or expressions, got \"" + given.text + "\"");
            config.policy_checks = given.text == "probes" ? PolicyChecks::kProbes : PolicyChecks::kExpressions;
            return {};
          },
          [](const Config&) -> std::string { return "probes"; }};
}

Target trusted_proxies() {
  return {[](Config& config, const Given& given) -> Result<void> {
            config.trusted_proxies.clear();
            for (const std::string& item : parse_list(given.text)) {
              const auto block = IpBlock::parse(item);
              if (!block) return fail(given.source + ": " + block.error().message);
              config.trusted_proxies.push_back(*block);
            }
            return {};
          },
          [](const Config&) { return std::string(); }};
}

Target url(std::optional<HttpUrl> Config::* member) {
  return {.parse = [=](Config& config, const Given& given) -> Result<void> {
            (config.*member).reset();
            if (given.text.empty()) return {};
            auto parsed = parse_http_url(given.text);
            if (!parsed) return fail(given.source + ": " + parsed.error().message);
            config.*member = std::move(*parsed);
            return {};
          },
          .show = [](const Config&) { return std::string(); },
          .is_secret = true};  // its query may hold one
}

Target extra_labels() {
  return {[](Config& config, const Given& given) -> Result<void> {
            config.metrics_pusher_extra_labels = parse_list(given.text);
            for (const std::string& item : config.metrics_pusher_extra_labels) {
              if (item.find('=') == std::string::npos) {
                return fail(given.source + " expected name=value pairs, got the item \"" + item + "\" without a `=`");
              }
            }
            return {};
          },
          [](const Config&) { return std::string(); }};
}

constexpr auto kLogFile = [](auto& config) -> auto& { return config.log.file; };

std::vector<Setting> listener_settings() {
  return {
      {"LISTEN_ADDRESS", "--listen", listen_address(&Config::listen_address),
       "IP address to listen on; unset: every address"},
      {"PORT", "--port", number(&Config::port, {0, 65535}), "port to listen on; 0: a free one, see --ready-file"},
      {"REALTIME_IP_VERSION", "", ip_version(&Config::ip_version),
       "ipv4 or ipv6; unset: both, where the machine has IPv6"},
      {"TLS_PORT", "--tls-port", tls_port(), "port that speaks TLS (https, wss) beside the plain one; unset: none"},
      {"TLS_LISTEN_ADDRESS", "--tls-listen", listen_address(&Config::tls_listen_address),
       "IP address of that port; unset: as LISTEN_ADDRESS"},
      {"TLS_CERT_FILE", "--tls-cert", text(&Config::tls_cert_file),
       "PEM file with the certificate and those between it and its root; SIGHUP reads it again"},
      {"TLS_KEY_FILE", "--tls-key", text(&Config::tls_key_file),
       "PEM file with its private key; SIGHUP reads it again"},
      {"TLS_OFFLOAD", "--tls-offload", tls_offload(),
       "auto or off; auto leaves encrypting to the kernel where it has its module tls"},
      {"", "--ready-file", text(&Config::ready_file),
       "file that receives the port, and on a second line that of TLS, once the server answers"},
      {"MAX_CONNECTIONS", "", number(&Config::connections_max, {1, 10'000'000}),
       "open connections; more wait to be accepted. Also the most long-poll sessions"},
      {"MAX_HEADER_LENGTH", "", number(&Config::header_value_bytes_max, {1, 65536}), "bytes of one HTTP header value"},
      {"REQUEST_ID_BAGGAGE_KEY", "", non_empty(&Config::request_id_baggage_key),
       "entry of the baggage header whose value is the request's id"},
      {"TRUSTED_PROXIES", "--trusted-proxies", trusted_proxies(),
       "addresses and blocks (10.0.0.0/8,::1) whose X-Forwarded-For and PROXY headers tell the client's address"},
      {"PROXY_PROTOCOL", "--proxy-protocol", flag_switch(&Config::proxy_protocol),
       "connections of trusted proxies begin with a PROXY header, version 1 or 2"},
      {"HTTP_HEADER_TIMEOUT_MS", "", milliseconds(&Config::http_header_timeout, 1),
       "time for the headers of a request to arrive"},
      {"HTTP_BODY_TIMEOUT_MS", "", milliseconds(&Config::http_body_timeout, 1),
       "time for the body of a request to arrive"},
  };
}

std::vector<Setting> socket_settings() {
  return {
      {"SOCKET_IDLE_TIMEOUT_MS", "", milliseconds(&Config::socket_idle_timeout, 1),
       "a WebSocket without a byte from its client for this long is closed"},
      {"NO_CHANNEL_TIMEOUT_IN_MS", "", milliseconds(&Config::no_channel_timeout, 1),
       "interval at which sockets without any channel are closed"},
      {"SEND_QUEUE_BYTES_MAX", "", number(&Config::send_queue_bytes_max, kBufferBytes),
       "bytes that may wait for one slow reader; beyond, it is closed"},
      {"SEND_BLOCKED_TIMEOUT_MS", "", milliseconds(&Config::send_blocked_timeout, 1),
       "a reader that takes nothing for this long is closed"},
      {"WORKER_SEND_QUEUE_BYTES_MAX", "", number(&Config::worker_send_queue_bytes_max, kBufferBytes),
       "bytes that may wait for all readers of one worker; beyond, the one with most is closed"},
      {"WORKER_RECEIVE_BYTES_MAX", "", number(&Config::worker_receive_bytes_max, kBufferBytes),
       "bytes of incomplete messages that one worker holds"},
      {"WEBSOCKET_MAX_HEAP_SIZE", "", number(&Config::socket_channel_bytes_max, Range{1, INT64_MAX}),
       "bytes that the channels of one socket may hold (names, refs, tokens); beyond, it is cut"},
      {"WEBSOCKET_COMPRESSION", "--compression", flag_switch(&Config::compression),
       "agree to permessage-deflate with clients that offer it"},
      {"WEBSOCKET_COMPRESSION_THRESHOLD_BYTES", "", number(&Config::compression_threshold_bytes, Range{1, INT64_MAX}),
       "smaller messages are sent uncompressed"},
      {"WEBSOCKET_COMPRESSION_LEVEL", "", number(&Config::compression_level, {1, 9}), "from 1 (fast) to 9 (small)"},
      {"LONG_POLL_WINDOW_MS", "", milliseconds(&Config::long_poll_window, 1),
       "how long a long-poll waits for messages; a session that is not polled for half as long again ends"},
      {"CONNECT_ERROR_BACKOFF_MS", "", milliseconds(&Config::connect_error_backoff, 0),
       "delay before a refused handshake is answered"},
      {"CHANNEL_ERROR_BACKOFF_MS", "", milliseconds(&Config::channel_error_backoff, 0),
       "delay before a refused join is answered"},
      {"TOKEN_CONFIRM_INTERVAL_MS", "", milliseconds(&Config::token_confirm_interval, 1),
       "longest time between two confirmations of a channel's token"},
      {"TENANT_CACHE_EXPIRATION_IN_MS", "", milliseconds(&Config::tenant_cache_expiration, 1),
       "how long a change that somebody else wrote to the control store may stay unseen"},
      {"REPLICATION_READY_TIMEOUT_MS", "", milliseconds(&Config::replication_ready_timeout, 1),
       "how long a channel that asked for the replication notice waits for it before it is closed"},
      {"", "--debug-echo", flag_switch(&Config::debug_echo), "serve /debug/echo, a WebSocket that echoes, for tests"},
  };
}

std::vector<Setting> process_settings() {
  return {
      {"WORKERS", "--workers", number(&Config::workers, {0, 64}), "worker threads; 0: one for each core"},
      {"", "--send", send_method(), "auto, uring or sendmsg; auto takes io_uring where the machine allows it"},
      {"DATA_DIR", "--data-dir", non_empty(&Config::data_dir),
       "directory of the embedded store and of secrets made here"},
      {"", "--store", store(), "control store, sqlite or postgres; unset: postgres where DB_HOST is given"},
      {"APP_NAME", "", non_empty(&Config::app_name), "public name of the server"},
      {"REGION", "", text(&Config::region), "region of this node; on every log line when set"},
      {"RLIMIT_NOFILE", "", open_files(), "open files this process may have; unset: as inherited"},
      {"DRAIN_DELAY_MS", "", milliseconds(&Config::drain_delay, 0), "from SIGTERM until the first sockets are closed"},
      {"DRAIN_TIMEOUT_MS", "", milliseconds(&Config::drain_timeout, 1),
       "from SIGTERM until the process ends at the latest"},
  };
}

std::vector<Setting> database_settings() {
  return {
      {"DB_HOST", "", given_text(&Config::db_host, ""),
       "host of the control database, and of the seeded tenant's; with --store=sqlite of the latter only"},
      {"DB_PORT", "", given_text(&Config::db_port, "5432"), "its port; unset: of the seeded tenant's 5433"},
      {"DB_USER", "", text(&Config::db_user), "who logs in"},
      {"DB_PASSWORD", "", secret(&Config::db_password), "the password; unset: postgres"},
      {"DB_NAME", "", text(&Config::db_name), "name of the database"},
      {"DB_AFTER_CONNECT_QUERY", "", text(&Config::db_after_connect_query),
       "SQL for each new connection to the control database, SET search_path TO _realtime as a rule"},
      {"DB_SSL", "", boolean(&Config::db_ssl),
       "TLS to the control database, without verification unless there is a CA"},
      {"DB_SSL_CA_CERT", "", text(&Config::db_ssl_ca_cert), "file of the CA that its certificate has to come from"},
      {"DB_IP_VERSION", "", ip_version(&Config::db_ip_version),
       "ipv4 or ipv6: the addresses of DB_HOST to use; unset: both, those of IPv6 first"},
      {"DB_MASTER_REGION", "", text(&Config::db_master_region),
       "region of the control database; nodes of others read from a replica near them; unset: REGION"},
      {"DB_REPLICA_HOST", "", text(&Config::db_replica_host), "the replica for all other regions"},
      {"DB_HOST_REPLICA_FRA", "", text(&Config::db_host_replica_fra), "else that for lhr and fra; AWS: eu-west-2"},
      {"DB_HOST_REPLICA_IAD", "", text(&Config::db_host_replica_iad), "that for gru and iad; AWS: us-east-1"},
      {"DB_HOST_REPLICA_SIN", "", text(&Config::db_host_replica_sin),
       "that for sin, maa and syd; AWS: ap-southeast-1, ap-southeast-2"},
      {"DB_HOST_REPLICA_SJC", "", text(&Config::db_host_replica_sjc),
       "that for sea and sjc; AWS: us-west-1, us-west-2"},
      {"AWS_EXECUTION_ENV", "", text(&Config::aws_execution_env),
       "AWS_ECS_FARGATE: REGION is one of AWS, which chooses the replica"},
  };
}

std::vector<Setting> secret_settings() {
  return {
      {"API_JWT_SECRET", "", secret(&Config::api_jwt_secret),
       "secret of the seeded tenant's tokens and of operators' for /api/tenants; unset: made at first start"},
      {"API_JWT_SECRET_NEXT", "", secret(&Config::api_jwt_secret_next),
       "second secret of operators' tokens, while one takes the place of the other"},
      {"API_TOKEN_BLOCKLIST", "", blocklist(&Config::api_token_blocklist),
       "tokens for /api/tenants that are refused, separated by commas"},
      {"API_JWT_JWKS", "", jwks(),
       "{\"keys\":[...]}, the keys of the seeded tenant: RSA, EC, OKP and oct, each with a kid"},
      {"DB_ENC_KEY", "", key_of(&Config::db_enc_key, tenants::Encryption::kLegacyKeyBytes),
       "16 bytes that encrypt secrets in the control store, in the old format; unset: made at first start"},
      {"DB_ENC_KEY_GCM", "", key_of(&Config::db_enc_key_gcm, tenants::Encryption::kKeyBytes),
       "32 bytes that encrypt secrets in the control store, in the current format"},
      {"DB_ENC_WRITE_GCM", "", boolean(&Config::db_enc_write_gcm),
       "write in the current format; both are read wherever there is a key"},
      {"METRICS_JWT_SECRET", "", secret(&Config::metrics_jwt_secret),
       "secret of tokens for /metrics; unset: made at first start"},
      {"METRICS_TOKEN_BLOCKLIST", "", blocklist(&Config::metrics_token_blocklist),
       "tokens for /metrics that are refused, separated by commas"},
      {"", "--require-secrets", flag_switch(&Config::require_secrets), "refuse to start rather than make a secret"},
      {"JWT_CLAIM_VALIDATORS", "", claim_validators(),
       "JSON object: claims, and the value that each must have where it is present"},
  };
}

std::vector<Setting> tenant_settings() {
  return {
      {"DEFAULT_TENANT", "--default-tenant", text(&Config::default_tenant),
       "tenant of hosts that name none; unset: such hosts are refused"},
      {"SEED_SELF_HOST", "", exact_true(&Config::seed_self_host),
       "exactly `true`: make or update one tenant at each start"},
      {"SELF_HOST_TENANT_NAME", "", non_empty(&Config::self_host_tenant_name), "name of that tenant"},
      {"TENANT_MAX_CONCURRENT_USERS", "", limit(&TenantLimits::concurrent_users_max), "sockets of a new tenant"},
      {"TENANT_MAX_CHANNELS_PER_CLIENT", "", limit(&TenantLimits::channels_per_client_max),
       "channels of one socket of a new tenant"},
      {"TENANT_MAX_JOINS_PER_SECOND", "", limit(&TenantLimits::joins_per_second_max), "joins of a new tenant"},
      {"TENANT_MAX_EVENTS_PER_SECOND", "", limit(&TenantLimits::events_per_second_max), "messages of a new tenant"},
      {"TENANT_MAX_PRESENCE_EVENTS_PER_SECOND", "", limit(&TenantLimits::presence_events_per_second_max),
       "presence messages of a new tenant"},
      {"TENANT_MAX_BYTES_PER_SECOND", "", limit(&TenantLimits::bytes_per_second_max),
       "stored with a new tenant and shown, not enforced"},
  };
}

std::vector<Setting> presence_settings() {
  return {
      {"CLIENT_PRESENCE_MAX_CALLS", "", number(&Config::client_presence_max_calls, {1, INT32_MAX}),
       "presence messages that one channel may send in a window"},
      {"CLIENT_PRESENCE_WINDOW_MS", "", milliseconds(&Config::client_presence_window, 1), "that window"},
      {"PRESENCE_COALESCE_MAX_MS", "", milliseconds(&Config::presence_coalesce_max, 0),
       "longest time that changes of a topic's presence are gathered into one message; 0: they are not"},
  };
}

std::vector<Setting> tenant_database_settings() {
  return {
      {"RUN_JANITOR", "", boolean(&Config::run_janitor),
       "drop old messages of tenants, and forget the metrics of those that have had no user for ten minutes"},
      {"JANITOR_SCHEDULE_TIMER_IN_MS", "", milliseconds(&Config::janitor_interval, 1),
       "how often messages of more than three days ago are dropped"},
      {"JANITOR_RUN_AFTER_IN_MS", "", milliseconds(&Config::janitor_first_delay, 0),
       "how much longer than that it takes to the first time"},
      {"JANITOR_SCHEDULE_RANDOMIZE", "", boolean(&Config::janitor_randomize),
       "each time 1 to 59 minutes later, so that nodes do not do it together"},
      {"POLICY_CHECKS", "", policy_checks(),
       "probes or expressions: how policies are asked where a tenant does not say, by rows that are rolled back or, "
       "where "
       "the answer is surely the same, without writing"},
      {"MIGRATION_PARTITION_SLOTS", "", number(&Config::migrations_max, {0, 1000}),
       "tenant databases whose schema is made or changed at a time; 0: twice as many as there are cores"},
      {"SLOT_MODE", "", slot_mode(),
       "whether replication slots outlive their connections: durable, temporary or auto (durable where the database "
       "has "
       "max_slot_wal_keep_size); of tenants without a slot_mode of their own"},
      {"SLOT_NAME_SUFFIX", "", slot_name_suffix(),
       "what names of temporary slots end in; unset: something that follows from database, tenant and node"},
      {"CHANGES_RESUME_WINDOW_MS", "", milliseconds(&Config::resume_window, 0),
       "how long something has to have been delivered before a durable slot forgets it"},
      {"CHANGES_RESUME_GRACE_MS", "", milliseconds(&Config::resume_grace, 0),
       "how long after a start clients may take to come back before they are told what a durable slot kept"},
      {"MESSAGES_GAP_AGE_MAX_MS", "", milliseconds(&Config::gap_age_max, 0),
       "messages of at most that age are read from the table after a time without a slot; 0: none"},
      {"MESSAGES_GAP_ROWS_MAX", "", number(&Config::gap_rows_max, {0, 100'000}), "and at most so many; 0: none"},
      {"MESSAGES_GAP_OVERLAP_MS", "", milliseconds(&Config::gap_overlap, 0),
       "how much earlier than the last message that was told one may have been written, to be found there"},
  };
}

std::vector<Setting> metrics_settings() {
  return {
      {"METRICS_PUSHER_ENABLED", "", boolean(&Config::metrics_pusher_enabled), "push metrics to METRICS_PUSHER_URL"},
      {"METRICS_PUSHER_URL", "", url(&Config::metrics_pusher_url), "receiver of the metrics, http or https"},
      {"METRICS_PUSHER_USER", "", text(&Config::metrics_pusher_user), "who we are to the receiver"},
      {"METRICS_PUSHER_AUTH", "", secret(&Config::metrics_pusher_auth),
       "the password; unset: the receiver asks for none"},
      {"METRICS_PUSHER_INTERVAL_MS", "", milliseconds(&Config::metrics_pusher_interval, 1),
       "from the end of a push to the next one"},
      {"METRICS_PUSHER_TIMEOUT_MS", "", milliseconds(&Config::metrics_pusher_timeout, 1),
       "for connecting, for sending and for the answer, each"},
      {"METRICS_PUSHER_COMPRESS", "", boolean(&Config::metrics_pusher_compress), "compress what is pushed (gzip)"},
      {"METRICS_PUSHER_EXTRA_LABELS", "", extra_labels(),
       "name=value pairs, separated by commas, each a query parameter extra_label of the push"},
      {"METRICS_CLEANER_SCHEDULE_TIMER_IN_MS", "", milliseconds(&Config::metrics_cleaner_interval, 1),
       "how often such tenants are looked for"},
      {"PROM_POLL_RATE", "", milliseconds(&Config::usage_interval, 1),
       "how often the log says how many connections a tenant has"},
  };
}

std::vector<Setting> log_settings() {
  return {
      {"LOG_LEVEL", "--log-level", log_level(), "debug, info, notice, warning, error, critical, alert or emergency"},
      {"LOG_FORMAT", "--log-format", log_format(), "text or json"},
      {"LOG_FILE", "--log-file", text(kLogFile), "file to write to instead of stdout; SIGHUP opens it anew"},
      {"DISABLE_HEALTHCHECK_LOGGING", "", negated_boolean(&Config::log_healthchecks),
       "true: health checks are not logged"},
      {"DISABLE_BILLING_LOGGING", "", negated_boolean(&Config::log_usage), "true: how much tenants use is not logged"},
  };
}

}  // namespace

std::vector<SettingGroup> all_settings() {
  return {{"Listener", listener_settings()},         {"Sockets", socket_settings()},
          {"Process", process_settings()},           {"Database", database_settings()},
          {"Tokens and secrets", secret_settings()}, {"Tenants", tenant_settings()},
          {"Presence", presence_settings()},         {"Databases of tenants", tenant_database_settings()},
          {"Metrics", metrics_settings()},           {"Log", log_settings()}};
}

}  // namespace rt::app
