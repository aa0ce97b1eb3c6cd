#include "main/config.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>

namespace rt::app {
namespace {

using namespace std::chrono_literals;
using Variables = std::map<std::string, std::string>;
using Arguments = std::vector<std::string>;

Result<ParsedConfig> parse(const Variables& variables, const Arguments& arguments = {}) {
  return parse_config(arguments, [&](const std::string& name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    if (found == variables.end()) return std::nullopt;
    return found->second;
  });
}

Config config_of(const Variables& variables, const Arguments& arguments = {}) {
  const auto parsed = parse(variables, arguments);
  REQUIRE_MESSAGE(parsed, parsed.error().message);
  return parsed->config;
}

// Empty: no error.
std::string error_of(const Variables& variables, const Arguments& arguments = {}) {
  const auto parsed = parse(variables, arguments);
  return parsed ? "" : parsed.error().message;
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// Every integer of the specification.
const std::vector<std::string> kIntegers = {"PORT",
                                            "MAX_CONNECTIONS",
                                            "NUM_ACCEPTORS",
                                            "MAX_HEADER_LENGTH",
                                            "HTTP_HEADER_TIMEOUT_MS",
                                            "HTTP_BODY_TIMEOUT_MS",
                                            "WEBSOCKET_MAX_HEAP_SIZE",
                                            "SOCKET_IDLE_TIMEOUT_MS",
                                            "SEND_QUEUE_BYTES_MAX",
                                            "SEND_BLOCKED_TIMEOUT_MS",
                                            "NO_CHANNEL_TIMEOUT_IN_MS",
                                            "CONNECT_ERROR_BACKOFF_MS",
                                            "CHANNEL_ERROR_BACKOFF_MS",
                                            "MEASURE_TRAFFIC_INTERVAL_IN_MS",
                                            "DRAIN_DELAY_MS",
                                            "DRAIN_TIMEOUT_MS",
                                            "DB_POOL_SIZE",
                                            "DB_QUEUE_TARGET",
                                            "DB_QUEUE_INTERVAL",
                                            "DB_REPLICA_POOL_SIZE",
                                            "TOKEN_CONFIRM_INTERVAL_MS",
                                            "TENANT_CACHE_EXPIRATION_IN_MS",
                                            "TENANT_MAX_BYTES_PER_SECOND",
                                            "TENANT_MAX_CHANNELS_PER_CLIENT",
                                            "TENANT_MAX_CONCURRENT_USERS",
                                            "TENANT_MAX_EVENTS_PER_SECOND",
                                            "TENANT_MAX_JOINS_PER_SECOND",
                                            "TENANT_MAX_PRESENCE_EVENTS_PER_SECOND",
                                            "CLIENT_PRESENCE_MAX_CALLS",
                                            "CLIENT_PRESENCE_WINDOW_MS",
                                            "PRESENCE_COALESCE_MAX_MS",
                                            "CHANGES_RESUME_WINDOW_MS",
                                            "CHANGES_RESUME_GRACE_MS",
                                            "REPLICATION_READY_TIMEOUT_MS",
                                            "MIGRATION_PARTITION_SLOTS",
                                            "CONNECT_PARTITION_SLOTS",
                                            "JANITOR_SCHEDULE_TIMER_IN_MS",
                                            "JANITOR_RUN_AFTER_IN_MS",
                                            "JANITOR_MAX_CHILDREN",
                                            "JANITOR_CHILDREN_TIMEOUT",
                                            "JANITOR_CHUNK_SIZE",
                                            "RPC_TIMEOUT",
                                            "METRICS_RPC_TIMEOUT_IN_MS",
                                            "REBALANCE_CHECK_INTERVAL_IN_MS",
                                            "NODE_BALANCE_UPTIME_THRESHOLD_IN_MS",
                                            "BROADCAST_POOL_SIZE",
                                            "PRESENCE_POOL_SIZE",
                                            "PRESENCE_BROADCAST_PERIOD_IN_MS",
                                            "PRESENCE_PERMDOWN_PERIOD_IN_MS",
                                            "POSTGRES_CDC_SCOPE_SHARDS",
                                            "USERS_SCOPE_SHARDS",
                                            "MUSTER_SCOPE_SHARDS",
                                            "GEN_RPC_TCP_SERVER_PORT",
                                            "GEN_RPC_TCP_CLIENT_PORT",
                                            "GEN_RPC_SSL_CLIENT_PORT",
                                            "GEN_RPC_CONNECT_TIMEOUT_IN_MS",
                                            "GEN_RPC_SEND_TIMEOUT_IN_MS",
                                            "GEN_RPC_MAX_BATCH_SIZE",
                                            "GEN_RPC_COMPRESS",
                                            "GEN_RPC_COMPRESSION_THRESHOLD_IN_BYTES",
                                            "GEN_RPC_SOCKET_BUFFER",
                                            "GEN_RPC_SOCKET_RECEIVE_BUFFER",
                                            "GEN_RPC_SOCKET_SEND_BUFFER",
                                            "MAX_GEN_RPC_CLIENTS",
                                            "MAX_GEN_RPC_CALL_CLIENTS",
                                            "LOG_THROTTLE_JANITOR_INTERVAL_IN_MS",
                                            "PROM_POLL_RATE",
                                            "METRICS_CLEANER_SCHEDULE_TIMER_IN_MS",
                                            "METRICS_PUSHER_INTERVAL_MS",
                                            "METRICS_PUSHER_TIMEOUT_MS",
                                            "RLIMIT_NOFILE",
                                            "WORKERS",
                                            "WORKER_SEND_QUEUE_BYTES_MAX",
                                            "WORKER_RECEIVE_BYTES_MAX"};

const std::vector<std::string> kBooleans = {"DISABLE_HEALTHCHECK_LOGGING",
                                            "DISABLE_BILLING_LOGGING",
                                            "DB_SSL",
                                            "RUN_JANITOR",
                                            "JANITOR_SCHEDULE_RANDOMIZE",
                                            "GEN_RPC_IPV6_ONLY",
                                            "OTEL_SDK_DISABLED",
                                            "METRICS_PUSHER_ENABLED",
                                            "METRICS_PUSHER_COMPRESS"};

TEST_CASE("an integer with anything but digits stops the boot and is named [C-001]") {
  for (const std::string& name : kIntegers) {
    CAPTURE(name);
    CHECK(error_of({{name, "12ms"}})
              .starts_with("env " + name + " expected a Integer, got \"12ms\": use a whole number"));
    if (name != "RLIMIT_NOFILE") {
      CHECK(error_of({{name, ""}}).starts_with("env " + name + " expected a Integer, got \"\""));
    }
  }
  for (const char* bad : {" 1", "1 ", "1.0", "0x10", "+", "-", "+-1", "--1", "99999999999999999999"}) {
    CAPTURE(bad);
    CHECK(contains(error_of({{"PORT", bad}}), "env PORT expected a Integer"));
  }
  CHECK(config_of({{"PORT", "+80"}}).port == 80);
}

TEST_CASE("booleans may be written in any case and with space around, but not as yes [C-002]") {
  for (const std::string& name : kBooleans) {
    CAPTURE(name);
    for (const char* good : {" TRUE ", "1", "0", "False"}) CHECK(error_of({{name, good}}) == "");
    CHECK(error_of({{name, "yes"}}) ==
          "env " + name + " expected a boolean or 0/1 values, got \"yes\": use true or false");
    CHECK(error_of({{name, ""}}) != "");
  }
  CHECK(!config_of({{"DISABLE_HEALTHCHECK_LOGGING", " TRUE "}}).log_healthchecks);
  CHECK(config_of({{"DISABLE_HEALTHCHECK_LOGGING", "0"}}).log_healthchecks);
  CHECK(config_of({}).log_usage);
  CHECK(!config_of({{"DISABLE_BILLING_LOGGING", "1"}}).log_usage);
}

TEST_CASE("numbers out of range are refused with the range") {
  CHECK(error_of({{"PORT", "65536"}}) ==
        "env PORT expected a Integer, got \"65536\": use a whole number from 0 to 65535");
  CHECK(error_of({}, {"--workers", "65"}) ==
        "--workers expected a Integer, got \"65\": use a whole number from 0 to 64");
  CHECK(error_of({{"SOCKET_IDLE_TIMEOUT_MS", "0"}}) != "");
  CHECK(error_of({{"HTTP_BODY_TIMEOUT_MS", "-1"}}) != "");
  CHECK(error_of({{"SEND_QUEUE_BYTES_MAX", "4999999"}}) != "");
  CHECK(error_of({{"GEN_RPC_COMPRESS", "10"}}) != "");
  CHECK(error_of({{"CONNECT_ERROR_BACKOFF_MS", "0"}, {"CHANNEL_ERROR_BACKOFF_MS", "0"}, {"DRAIN_DELAY_MS", "0"}}) ==
        "");
}

TEST_CASE("with nothing set the documented defaults hold [C-013]") {
  const Config config = config_of({});
  CHECK(config.port == 4000);
  CHECK(config.connections_max == 16384);
  CHECK(config.header_value_bytes_max == 4096);
  CHECK(config.socket_idle_timeout == 60s);
  CHECK(config.no_channel_timeout == 10min);
  CHECK(config.send_queue_bytes_max == 16777216);
  CHECK(config.app_name == "realtime");  // [C-004]
  CHECK(config.self_host_tenant_name == "realtime-dev");
  CHECK(config.new_tenant_limits.joins_per_second_max == 100);
  CHECK(!config.api_jwt_secret);
  CHECK(!config.seed_self_host);
  CHECK(!config.open_files_max);
  CHECK(config.warnings.empty());
}

TEST_CASE("every variable reaches its part of the configuration") {
  const Config config = config_of({{"LISTEN_ADDRESS", "127.0.0.1"},
                                   {"PORT", "0"},
                                   {"REALTIME_IP_VERSION", "ipv4"},
                                   {"DRAIN_TIMEOUT_MS", "5000"},
                                   {"API_JWT_SECRET", "s1"},
                                   {"METRICS_JWT_SECRET", "s2"},
                                   {"METRICS_TOKEN_BLOCKLIST", "a.b.c, d.e.f"},
                                   {"API_JWT_JWKS", " {\"keys\":[]} "},
                                   {"TENANT_MAX_CHANNELS_PER_CLIENT", "7"},
                                   {"REGION", "eu-central-1"},
                                   {"RLIMIT_NOFILE", "10000"},
                                   {"LOG_LEVEL", "warning"},
                                   {"LOG_FORMAT", "json"},
                                   {"LOG_FILE", "/tmp/log"}});
  CHECK(config.listen_address == "127.0.0.1");
  CHECK(config.port == 0);
  CHECK(config.ip_version == IpVersion::kV4);  // [C-021]
  CHECK(config.drain_timeout == 5s);
  CHECK(config.api_jwt_secret == "s1");
  CHECK(config.metrics_jwt_secret == "s2");
  CHECK(config.metrics_token_blocklist == std::vector<std::string>{"a.b.c", "d.e.f"});
  CHECK(config.api_jwt_jwks == "{\"keys\":[]}");
  CHECK(config.new_tenant_limits.channels_per_client_max == 7);
  CHECK(config.log.region == "eu-central-1");
  CHECK(config.open_files_max == 10000);
  CHECK(config.log.level == LogLevel::kWarning);
  CHECK(config.log.format == LogFormat::kJson);
  CHECK(config.log.file == "/tmp/log");
}

TEST_CASE("items of a list are trimmed [C-003]") {
  using Items = std::vector<std::string>;
  CHECK(config_of({{"METRICS_TOKEN_BLOCKLIST", " a, b ,c"}}).metrics_token_blocklist == Items{"a", "b", "c"});
  CHECK(config_of({{"API_TOKEN_BLOCKLIST", "a"}}).api_token_blocklist == Items{"a"});
  CHECK(config_of({{"API_TOKEN_BLOCKLIST", " "}}).api_token_blocklist.empty());
}

TEST_CASE("a flag goes over its variable, and the last of several over the others") {
  const Arguments arguments{"--port", "1", "--port=2", "--debug-echo", "--default-tenant", ""};
  const Config config = config_of({{"PORT", "3"}, {"DEFAULT_TENANT", "acme"}, {"DATA_DIR", "/d"}}, arguments);
  CHECK(config.port == 2);
  CHECK(config.default_tenant == "");
  CHECK(config.data_dir == "/d");
  CHECK(config.debug_echo);
  CHECK(!config.require_secrets);
}

TEST_CASE("unknown flags, stray words and flags without their value are refused") {
  CHECK(contains(error_of({}, {"--prot", "1"}), "--prot"));
  CHECK(contains(error_of({}, {"now"}), "now"));
  CHECK(contains(error_of({}, {"--port"}), "--port"));
  CHECK(contains(error_of({}, {"--prot", "1"}), "realtime serve --help"));
}

TEST_CASE("all mistakes are told at once, a line each") {
  const std::string error = error_of({{"PORT", "x"}, {"LOG_LEVEL", "chatty"}, {"DB_SSL", "maybe"}});
  CHECK(std::count(error.begin(), error.end(), '\n') == 2);
}

TEST_CASE("a database address other than ipv4 and ipv6 is refused [C-005]") {
  CHECK(error_of({{"DB_IP_VERSION", "ipv5"}}) == "env DB_IP_VERSION expected ipv4 or ipv6, got \"ipv5\"");
  CHECK(config_of({{"DB_IP_VERSION", "ipv6"}}).db_ip_version == IpVersion::kV6);
  CHECK(config_of({{"DB_IP_VERSION", "ipv4"}}).db_ip_version == IpVersion::kV4);
  CHECK(error_of({{"REALTIME_IP_VERSION", "ipv5"}}) != "");
}

TEST_CASE("claim validators are a JSON object [C-006]") {
  for (const char* bad : {"[]", "", "{", "null", "1"}) {
    CHECK(error_of({{"JWT_CLAIM_VALIDATORS", bad}})
              .starts_with("JWT claim validators is not a valid JSON object: set env"));
  }
  const Config config = config_of({{"JWT_CLAIM_VALIDATORS", R"({"iss":"a","n":[1.0],"i\u0073s":"b"})"}});
  REQUIRE(config.claim_validators.size() == 2);
  CHECK(config.claim_validators[0].claim == "n");
  CHECK(config.claim_validators[0].expected_json == "[1.0]");
  CHECK(config.claim_validators[1].claim == "iss");
  CHECK(config.claim_validators[1].expected_json == "\"b\"");
}

TEST_CASE("a broken region mapping is refused with the reason [C-007] [T-041]") {
  CHECK(error_of({{"REGION_MAPPING", "{"}}).starts_with("Failed to parse REGION_MAPPING: "));
  CHECK(error_of({{"REGION_MAPPING", "[]"}}).starts_with("REGION_MAPPING must be a JSON object"));
  CHECK(error_of({{"REGION_MAPPING", R"({"a":1})"}})
            .starts_with("REGION_MAPPING must contain only string keys and values"));
  CHECK(error_of({{"REGION_MAPPING", R"({"a":"b"})"}}) == "");
}

TEST_CASE("the two buffer sizes go together [C-008]") {
  CHECK(contains(error_of({{"HTTP_DYNAMIC_BUFFER_MIN", "1"}}), "set both or none"));
  CHECK(contains(error_of({{"HTTP_DYNAMIC_BUFFER_MAX", "1"}}), "set both or none"));
  CHECK(error_of({{"HTTP_DYNAMIC_BUFFER_MIN", "1"}, {"HTTP_DYNAMIC_BUFFER_MAX", "2"}}) == "");
}

TEST_CASE("an unknown log level is refused [C-009]") {
  CHECK(error_of({{"LOG_LEVEL", "chatty"}})
            .starts_with("env LOG_LEVEL expected a log level, got \"chatty\": use debug,"));
}

TEST_CASE("an inter-node address that is none, and TLS without certificates, are refused [C-011] [C-012]") {
  CHECK(contains(error_of({{"GEN_RPC_SOCKET_IP", "localhost"}}), "env GEN_RPC_SOCKET_IP expected an IP address"));
  CHECK(error_of({{"GEN_RPC_SOCKET_IP", "::1"}}) == "");
  Variables tls{{"GEN_RPC_SSL_SERVER_PORT", "6369"}, {"GEN_RPC_CERTFILE", "c"}, {"GEN_RPC_KEYFILE", "k"}};
  CHECK(error_of(tls) == "env GEN_RPC_SSL_SERVER_PORT needs a certificate: set GEN_RPC_CACERTFILE too");
  tls["GEN_RPC_CACERTFILE"] = "a";
  CHECK(error_of(tls) == "");
}

TEST_CASE("variables without effect give one warning that names them, and those of the runtime none [C-014]") {
  const Config config = config_of({{"NUM_ACCEPTORS", "100"},
                                   {"DNS_NODES", "''"},
                                   {"ERL_AFLAGS", "-proto_dist inet_tcp"},
                                   {"LANG", "C"},
                                   {"OTEL_SDK_DISABLED", "true"}});
  REQUIRE(config.warnings.size() == 1);
  CHECK(config.warnings[0] == "set, but without effect in this version: DNS_NODES, NUM_ACCEPTORS, OTEL_SDK_DISABLED");
}

TEST_CASE("the receiver of metrics is an URL without a password in it, which no error repeats") {
  const Config config = config_of(
      {{"METRICS_PUSHER_URL", "https://m.example.com/push?key=1"}, {"METRICS_PUSHER_EXTRA_LABELS", "a=b=c, d=e"}});
  REQUIRE(config.metrics_pusher_url);
  CHECK(config.metrics_pusher_url->target == "/push?key=1");
  CHECK(config.metrics_pusher_extra_labels == std::vector<std::string>{"a=b=c", "d=e"});
  CHECK(!config_of({{"METRICS_PUSHER_URL", ""}}).metrics_pusher_url);
  const std::string error = error_of({{"METRICS_PUSHER_URL", "https://user:s3cret@m.example.com/"}});
  CHECK(contains(error, "env METRICS_PUSHER_URL"));
  CHECK(!contains(error, "s3cret"));
}

TEST_CASE("the reference server's compose environment starts us [C-020]") {
  const Variables compose{{"PORT", "4000"},
                          {"DB_HOST", "db"},
                          {"DB_PORT", "5432"},
                          {"DB_USER", "supabase_admin"},
                          {"DB_PASSWORD", "postgres"},
                          {"DB_NAME", "postgres"},
                          {"DB_AFTER_CONNECT_QUERY", "SET search_path TO _realtime"},
                          {"DB_ENC_KEY", "supabaserealtime"},
                          {"API_JWT_SECRET", "secret"},
                          {"METRICS_JWT_SECRET", "secret"},
                          {"SECRET_KEY_BASE", "base"},
                          {"ERL_AFLAGS", "-proto_dist inet_tcp"},
                          {"DNS_NODES", "''"},
                          {"RLIMIT_NOFILE", "10000"},
                          {"APP_NAME", "realtime"},
                          {"SEED_SELF_HOST", "true"},
                          {"RUN_JANITOR", "true"}};
  CHECK(config_of(compose).seed_self_host);
  CHECK(store_kind(config_of(compose)) == StoreKind::kPostgres);
  CHECK(store_kind(config_of(compose, {"--store=sqlite"})) == StoreKind::kSqlite);
}

TEST_CASE("the control store is embedded unless a host or the flag asks for Postgres [C-013]") {
  CHECK(store_kind(config_of({})) == StoreKind::kSqlite);
  CHECK(store_kind(config_of({{"DB_HOST", ""}})) == StoreKind::kSqlite);
  CHECK(store_kind(config_of({}, {"--store=postgres"})) == StoreKind::kPostgres);
  CHECK(error_of({}, {"--store=mysql"}) == "--store expected sqlite or postgres, got \"mysql\"");
}

TEST_CASE("only the exact word true seeds a tenant [C-024] [T-052]") {
  CHECK(config_of({{"SEED_SELF_HOST", "true"}}).seed_self_host);
  for (const char* other : {"True", "1", " true", ""}) CHECK(!config_of({{"SEED_SELF_HOST", other}}).seed_self_host);
}

TEST_CASE("labels of pushed metrics are pairs [C-026]") {
  CHECK(error_of({{"METRICS_PUSHER_EXTRA_LABELS", "a=b=c, d=e"}}) == "");
  CHECK(error_of({{"METRICS_PUSHER_EXTRA_LABELS", ""}}) == "");
  CHECK(contains(error_of({{"METRICS_PUSHER_EXTRA_LABELS", "a=b, c"}}), "the item \"c\" without a `=`"));
}

TEST_CASE("an encryption key of the wrong length is refused with its length, not its value [T-008]") {
  const std::string error = error_of({{"DB_ENC_KEY_GCM", std::string(31, 'k')}});
  CHECK(contains(error, "env DB_ENC_KEY_GCM expected a key of 32 bytes, got 31 bytes"));
  CHECK(!contains(error, "kkk"));
  CHECK(error_of({{"DB_ENC_KEY_GCM", std::string(32, 'k')}}) == "");
}

TEST_CASE("trusted proxies are addresses and blocks, and what is none is named") {
  const Config config = config_of({{"TRUSTED_PROXIES", "10.0.0.0/8, ::1"}}, {"--proxy-protocol"});
  REQUIRE(config.trusted_proxies.size() == 2);
  CHECK(any_contains(config.trusted_proxies, *IpAddress::parse("10.1.2.3")));
  CHECK(!any_contains(config.trusted_proxies, *IpAddress::parse("11.1.2.3")));
  CHECK(config.proxy_protocol);
  CHECK(config_of({}).trusted_proxies.empty());
  CHECK(!config_of({{"TRUSTED_PROXIES", ""}, {"PROXY_PROTOCOL", "false"}}).proxy_protocol);
  CHECK(contains(error_of({{"TRUSTED_PROXIES", "10.0.0.0/8,10.0.0.0/33"}}),
                 "env TRUSTED_PROXIES: \"10.0.0.0/33\" needs a number from 0 to 32 behind the slash"));
  CHECK(contains(error_of({}, {"--trusted-proxies", "proxy.example.com"}),
                 "--trusted-proxies: \"proxy.example.com\" is no IP address"));
  CHECK(contains(error_of({{"PROXY_PROTOCOL", "true"}}), "PROXY_PROTOCOL is on, but TRUSTED_PROXIES names nobody"));
}

TEST_CASE("what contradicts itself is refused") {
  CHECK(contains(error_of({{"APP_NAME", ""}}), "env APP_NAME is empty"));
  CHECK(contains(error_of({{"DRAIN_DELAY_MS", "40000"}}),
                 "env DRAIN_DELAY_MS (40000) is longer than DRAIN_TIMEOUT_MS (30000)"));
  CHECK(
      contains(error_of({{"LISTEN_ADDRESS", "::1"}, {"REALTIME_IP_VERSION", "ipv4"}}), "LISTEN_ADDRESS ::1 is not of"));
  CHECK(contains(error_of({}, {"--listen", "localhost"}), "--listen expected an IP address, got \"localhost\""));
  CHECK(contains(error_of({{"API_JWT_JWKS", "[]"}}), "env API_JWT_JWKS is not a valid JSON object"));
  CHECK(contains(error_of({{"POLICY_CHECKS", "both"}}), "env POLICY_CHECKS expected probes or expressions"));
  CHECK(contains(error_of({{"SLOT_MODE", "both"}}), "env SLOT_MODE expected auto, durable or temporary"));
  for (const char* bad : {"Blue", "blue-1", "a_name_that_is_too_long"})
    CHECK(contains(error_of({{"SLOT_NAME_SUFFIX", bad}}), "env SLOT_NAME_SUFFIX expected at most 19"));
  CHECK(error_of({{"SLOT_NAME_SUFFIX", ""}}) == "");
  CHECK(contains(error_of({{"LOG_FORMAT", "xml"}}), "env LOG_FORMAT expected text or json"));
  CHECK(error_of({{"RLIMIT_NOFILE", ""}}) == "");
}

TEST_CASE("a TLS port needs a certificate and its key, and they need the port") {
  CHECK(contains(error_of({{"TLS_PORT", "443"}, {"TLS_CERT_FILE", "c"}}), "TLS_PORT is set: TLS_CERT_FILE and"));
  CHECK(contains(error_of({{"TLS_KEY_FILE", "k"}}), "TLS_PORT is not: give the port"));
  CHECK(contains(error_of({{"TLS_LISTEN_ADDRESS", "everywhere"}}), "env TLS_LISTEN_ADDRESS expected an IP address"));
  CHECK(error_of({{"TLS_PORT", "443"}, {"TLS_CERT_FILE", "c"}, {"TLS_KEY_FILE", "k"}}) == "");
}

TEST_CASE("the kernel encrypts where it can, or never") {
  CHECK(error_of({{"TLS_OFFLOAD", "on"}}) == "env TLS_OFFLOAD expected auto or off, got \"on\"");
  CHECK(error_of({{"TLS_OFFLOAD", "off"}}) == "");
  CHECK(error_of({{"TLS_OFFLOAD", "auto"}}) == "");
}

TEST_CASE("the help lists every setting with its default, and asks for nothing else to be right") {
  const auto parsed = parse({{"PORT", "x"}}, {"--help"});
  REQUIRE(parsed);
  REQUIRE(parsed->help);
  const std::string& help = *parsed->help;
  CHECK(contains(help, "  --port VALUE, env PORT  [4000]\n      port to listen on"));
  CHECK(contains(help, "  env SEND_QUEUE_BYTES_MAX  [16777216]\n"));
  CHECK(contains(help, "  --debug-echo\n"));
  CHECK(contains(help, "  env API_JWT_SECRET\n"));
  for (const char* flag : {"--listen", "--ready-file", "--workers", "--data-dir", "--default-tenant", "--store",
                           "--require-secrets", "--log-format", "--log-file", "--log-level"}) {
    CHECK(contains(help, flag));
  }
}

}  // namespace
}  // namespace rt::app
