#include "main/accepted_settings.h"

#include <algorithm>

#include "main/setting.h"
#include "protocol/json/value.h"

namespace rt::app {
namespace {

// Only the start script and the Erlang runtime of the reference server read ERL_AFLAGS, LANG, RELEASE_NODE and their
// like. They stand in nearly every environment, so that naming them would be noise: they are not listed here.

constexpr std::string_view kTexts[] = {"SECRET_KEY_BASE",
                                       // authentication
                                       "DASHBOARD_AUTH", "DASHBOARD_USER", "DASHBOARD_PASSWORD", "CF_TEAM_DOMAIN",
                                       // cluster
                                       "CLUSTER_STRATEGIES", "DNS_NODES", "NODE_NAME", "POD_IP",
                                       "ECS_CONTAINER_METADATA_URI_V4", "CLUSTER", "GEN_RPC_CERTFILE",
                                       "GEN_RPC_KEYFILE", "GEN_RPC_CACERTFILE", "GENERATE_CLUSTER_CERTS",
                                       "CLUSTER_SECRET_ID", "CLUSTER_SECRET_REGION",
                                       // logs, traces and metrics
                                       "LOGS_ENGINE", "LOGFLARE_LOGGER_BACKEND_URL", "LOGFLARE_API_KEY",
                                       "LOGFLARE_SOURCE_ID", "OTEL_TRACES_EXPORTER", "OTEL_TRACES_SAMPLER"};

constexpr std::string_view kIntegers[] = {
    "NUM_ACCEPTORS", "HTTP_DYNAMIC_BUFFER_MIN", "HTTP_DYNAMIC_BUFFER_MAX", "MEASURE_TRAFFIC_INTERVAL_IN_MS",
    // control database
    "DB_POOL_SIZE", "DB_QUEUE_TARGET", "DB_QUEUE_INTERVAL", "DB_REPLICA_POOL_SIZE",
    // tenants
    "CONNECT_PARTITION_SLOTS", "JANITOR_MAX_CHILDREN", "JANITOR_CHILDREN_TIMEOUT", "JANITOR_CHUNK_SIZE",
    // cluster
    "RPC_TIMEOUT", "METRICS_RPC_TIMEOUT_IN_MS", "REBALANCE_CHECK_INTERVAL_IN_MS", "NODE_BALANCE_UPTIME_THRESHOLD_IN_MS",
    "BROADCAST_POOL_SIZE", "PRESENCE_POOL_SIZE", "PRESENCE_BROADCAST_PERIOD_IN_MS", "PRESENCE_PERMDOWN_PERIOD_IN_MS",
    "POSTGRES_CDC_SCOPE_SHARDS", "USERS_SCOPE_SHARDS", "MUSTER_SCOPE_SHARDS", "GEN_RPC_TCP_SERVER_PORT",
    "GEN_RPC_TCP_CLIENT_PORT", "GEN_RPC_SSL_SERVER_PORT", "GEN_RPC_SSL_CLIENT_PORT", "GEN_RPC_CONNECT_TIMEOUT_IN_MS",
    "GEN_RPC_SEND_TIMEOUT_IN_MS", "GEN_RPC_MAX_BATCH_SIZE", "GEN_RPC_COMPRESSION_THRESHOLD_IN_BYTES",
    "GEN_RPC_SOCKET_BUFFER", "GEN_RPC_SOCKET_RECEIVE_BUFFER", "GEN_RPC_SOCKET_SEND_BUFFER", "MAX_GEN_RPC_CLIENTS",
    "MAX_GEN_RPC_CALL_CLIENTS",
    // logs and metrics
    "LOG_THROTTLE_JANITOR_INTERVAL_IN_MS"};

constexpr std::string_view kBooleans[] = {"GEN_RPC_IPV6_ONLY", "OTEL_SDK_DISABLED"};

Result<void> check_text(const Given&) { return {}; }

Result<void> check_integer(const Given& given) {
  return parse_integer(given).map([](std::int64_t) {});
}

Result<void> check_boolean(const Given& given) {
  return parse_boolean(given).map([](bool) {});
}

Result<void> check_compression(const Given& given) {
  return parse_integer(given, {0, 9}).map([](std::int64_t) {});
}

Result<void> check_socket_ip(const Given& given) {
  if (address_family(given.text) != IpVersion::kAny) return {};
  return fail(given.source + " expected an IP address, got \"" + given.text + "\": use for example 0.0.0.0 or ::");
}

Result<void> check_region_mapping(const Given& given) {
  constexpr std::string_view kAdvice = ": set it to something like {\"eu-central-1\":\"eu\"}";
  const auto document = json::walk_document(given.text);
  if (!document) return fail("Failed to parse REGION_MAPPING: not valid JSON" + std::string(kAdvice));
  if (document->type != json::Type::kObject) return fail("REGION_MAPPING must be a JSON object" + std::string(kAdvice));
  json::Elements members{json::Value(document->text)};
  while (const auto value = members.next()) {
    if (!value->is_string()) {
      return fail("REGION_MAPPING must contain only string keys and values" + std::string(kAdvice));
    }
  }
  return {};
}

using Check = Result<void> (*)(const Given&);

struct Special {
  std::string_view variable;
  Check check;
};

constexpr Special kSpecial[] = {
    {"REGION_MAPPING", check_region_mapping},
    {"GEN_RPC_SOCKET_IP", check_socket_ip},
    {"GEN_RPC_COMPRESS", check_compression},
};

class Checker {
 public:
  explicit Checker(const Environment& environment) : environment_(environment) {}

  void check(std::string_view variable, Check check) {
    const std::string name(variable);
    const auto value = environment_(name);
    if (!value) return;
    found_.given.push_back(name);
    if (const auto checked = check({"env " + name, *value}); !checked) found_.errors.push_back(checked.error().message);
  }

  // Settings that make sense only together.
  void check_pairs() {
    if (is_given("HTTP_DYNAMIC_BUFFER_MIN") != is_given("HTTP_DYNAMIC_BUFFER_MAX")) {
      found_.errors.push_back("env HTTP_DYNAMIC_BUFFER_MIN and HTTP_DYNAMIC_BUFFER_MAX go together: set both or none");
    }
    if (!is_given("GEN_RPC_SSL_SERVER_PORT")) return;
    for (const std::string_view file : {"GEN_RPC_CERTFILE", "GEN_RPC_KEYFILE", "GEN_RPC_CACERTFILE"}) {
      if (!is_given(file)) {
        found_.errors.push_back("env GEN_RPC_SSL_SERVER_PORT needs a certificate: set " + std::string(file) + " too");
      }
    }
  }

  AcceptedSettings found() && { return std::move(found_); }

 private:
  bool is_given(std::string_view variable) const {
    return std::find(found_.given.begin(), found_.given.end(), variable) != found_.given.end();
  }

  const Environment& environment_;
  AcceptedSettings found_;
};

}  // namespace

AcceptedSettings check_accepted_settings(const Environment& environment) {
  Checker checker(environment);
  for (const std::string_view variable : kTexts) checker.check(variable, check_text);
  for (const std::string_view variable : kIntegers) checker.check(variable, check_integer);
  for (const std::string_view variable : kBooleans) checker.check(variable, check_boolean);
  for (const Special& special : kSpecial) checker.check(special.variable, special.check);
  checker.check_pairs();
  return std::move(checker).found();
}

}  // namespace rt::app
