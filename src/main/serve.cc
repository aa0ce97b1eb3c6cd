#include "main/serve.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <thread>

#include "base/job_thread.h"
#include "base/random.h"
#include "io/net/listener.h"
#include "io/net/uring_batch.h"
#include "io/net/worker.h"
#include "io/postgres/schema.h"
#include "main/control_store.h"
#include "main/metrics_pusher.h"
#include "main/node_metrics.h"
#include "main/routes.h"
#include "main/secrets.h"
#include "main/tls_port.h"
#include "main/usage_log.h"
#include "main/vacancy_sweep.h"
#include "protocol/json/value.h"
#include "services/database/tenant_databases.h"
#include "services/realtime/row_changes.h"
#include "services/realtime/shard.h"
#include "services/realtime/stored_broadcast.h"
#include "services/tenancy/directory.h"
#include "services/tenancy/registry.h"
#include "services/tenancy/tenant_api.h"

namespace rt::app {
namespace {

namespace asio = boost::asio;
using OldMessages = database::TenantDatabases::OldMessages;

constexpr std::size_t kJobsMax = 32;  // scrapes and lists of tenants that wait; more get 503

// One server for each data directory: two would overwrite each other's tenants.
Result<int> lock_data_dir(const std::string& data_dir) {
  const std::string path = data_dir + "/lock";
  const int fd = open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
  if (fd < 0)
    return fail("cannot open " + path + ": make the data directory writable, or choose another with --data-dir");
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    close(fd);
    return fail("another server uses the data directory " + data_dir +
                ": stop it, or choose another directory with --data-dir");
  }
  return fd;
}

Result<void> raise_open_files(const Config& config) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = config.open_files_max ? std::min<rlim_t>(*config.open_files_max, limit.rlim_max) : limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
    return fail("cannot set RLIMIT_NOFILE to " + std::to_string(limit.rlim_cur));
  return {};
}

std::vector<std::string> admin_secrets(const Config& config) {
  std::vector<std::string> secrets = {*config.api_jwt_secret};
  if (config.api_jwt_secret_next) secrets.push_back(*config.api_jwt_secret_next);
  return secrets;
}

// The database of the seeded tenant, as an operator would describe it (tenants.md 12).
std::string seeded_extension(const Config& config) {
  const auto member = [](std::string_view key, const std::string& value) {
    return ",\"" + std::string(key) + "\":" + json::quoted(value);
  };
  return R"({"extensions":[{"type":"postgres_cdc_rls","settings":{"region":"us-east-1","ssl_enforced":false)" +
         member("db_host", *config.db_host) + member("db_port", config.db_port.value_or("5433")) +
         member("db_name", config.db_name) + member("db_user", config.db_user) +
         member("db_password", config.db_password.value_or("postgres")) + "}}]}";
}

Result<TenantRecord> seeded_tenant(const Config& config, const tenants::Encryption& secrets, Random& random) {
  TenantRecord tenant;
  tenant.id = random.uuid();
  tenant.external_id = config.self_host_tenant_name;
  tenant.name = config.self_host_tenant_name;
  tenant.jwt_secret = secrets.encrypt(*config.api_jwt_secret, random);
  tenant.jwt_jwks = config.api_jwt_jwks;
  tenant.limits = config.new_tenant_limits;
  if (config.db_host) {
    const std::string extension = seeded_extension(config);
    if (!json::walk_document(extension)) return fail("DB_HOST, DB_USER, DB_PASSWORD and their like have to be UTF-8");
    const auto applied =
        tenants::Attributes(json::Value(extension), secrets, random).apply(tenant, tenants::Incomplete::kRefuse);
    if (!applied) return fail("DB_*: " + applied.error().json());
  }
  return tenant;
}

// The registry with what is in the store, seeded where the settings ask for it.
Result<std::unique_ptr<tenancy::Registry>> open_registry(const Config& config, tenancy::Directory& directory,
                                                         const tenants::Encryption& secrets, Random& random, Log& log) {
  auto store = control_store(config, log);
  if (!store) return tl::make_unexpected(store.error());
  auto registry =
      std::make_unique<tenancy::Registry>(tenancy::RegistryConfig{.refresh_interval = config.tenant_cache_expiration,
                                                                  .new_tenant_limits = config.new_tenant_limits},
                                          std::move(*store), directory, secrets, random, log);
  std::optional<TenantRecord> seed;
  if (config.seed_self_host) {
    auto tenant = seeded_tenant(config, secrets, random);
    if (!tenant) return tl::make_unexpected(tenant.error());
    seed = *std::move(tenant);
  }
  if (const auto opened = registry->open(std::move(seed)); !opened) return tl::make_unexpected(opened.error());
  return registry;
}

net::WorkerConfig worker_config(const Config& config) {
  net::WorkerConfig out;
  out.http.header_value_bytes_max = config.header_value_bytes_max;
  out.trusted_proxies = config.trusted_proxies;
  out.proxy_protocol = config.proxy_protocol;
  out.header_timeout = config.http_header_timeout;
  out.body_timeout = config.http_body_timeout;
  out.idle_timeout = config.socket_idle_timeout;
  out.send_queue_bytes_max = config.send_queue_bytes_max;
  out.send_blocked_timeout = config.send_blocked_timeout;
  out.all_send_queues_bytes_max = config.worker_send_queue_bytes_max;
  out.all_receive_bytes_max = config.worker_receive_bytes_max;
  return out;
}

std::optional<ws::DeflateSettings> compression(const Config& config) {
  if (!config.compression) return std::nullopt;
  return ws::DeflateSettings{.level = config.compression_level, .threshold_bytes = config.compression_threshold_bytes};
}

// The way of sending that the configuration asks for, one batch for each worker.
Result<std::vector<std::unique_ptr<net::SendBatch>>> send_batches(const Config& config, std::size_t workers, Log& log) {
  std::vector<std::unique_ptr<net::SendBatch>> batches;
  while (config.send != SendMethod::kSendmsg && batches.size() < workers) {
    auto batch = net::make_uring_batch();
    if (batch) {
      batches.push_back(std::move(*batch));
      continue;
    }
    if (config.send == SendMethod::kUring) {
      return fail("--send=uring: this machine does not allow io_uring (" + batch.error().message +
                  "): allow it (sysctl kernel.io_uring_disabled=0, and in a container its seccomp profile), or use "
                  "--send=auto");
    }
    log.warning("sending without io_uring, which this machine does not allow: " + batch.error().message);
    batches.clear();
    break;
  }
  while (batches.size() < workers) batches.push_back(std::make_unique<net::SendmsgBatch>());
  return batches;
}

// The hash is the same on all nodes, so its key is no secret.
ReplicaId this_replica(std::string_view node_name, const Clock& clock) {
  return {.node = siphash({0x6e6f6465, 0x6e616d65}, node_name),
          .incarnation = static_cast<std::uint64_t>(
              std::chrono::duration_cast<std::chrono::nanoseconds>(clock.wall().time_since_epoch()).count())};
}

realtime::NodeConfig node_config(const Config& config, ReplicaId replica) {
  realtime::NodeConfig out;
  out.replica = replica;
  out.channels.socket_bytes_max = config.socket_channel_bytes_max;
  out.channels.error_backoff = config.channel_error_backoff;
  out.channels.token_confirm_interval = config.token_confirm_interval;
  out.channels.replication_ready_timeout = config.replication_ready_timeout;
  out.channels.presence_events_max = config.client_presence_max_calls;
  out.channels.presence_window = config.client_presence_window;
  out.channels.replay_bytes_max = std::min(out.channels.replay_bytes_max, config.send_queue_bytes_max / 2);
  out.channels.presence_bytes_max = presence::entry_bytes_max(config.send_queue_bytes_max);
  out.presence.coalesce = config.presence_coalesce_max;
  out.presence.topic_bytes_max = presence::topic_bytes_max(config.send_queue_bytes_max);
  out.presence_queue_bytes_max = config.worker_send_queue_bytes_max / 4;
  out.compression = compression(config);
  out.connect_error_backoff = config.connect_error_backoff;
  out.logs_usage = config.log_usage;
  out.no_channel_timeout = config.no_channel_timeout;
  out.long_poll.window = config.long_poll_window;
  out.long_poll.sessions_max = config.connections_max;
  out.long_poll.queue_bytes_max = config.send_queue_bytes_max;
  out.long_poll.all_queues_bytes_max = config.worker_send_queue_bytes_max;
  out.long_poll.posted_bytes_max = config.worker_receive_bytes_max;
  for (const ClaimExpectation& one : config.claim_validators)
    out.claim_validators.push_back({one.claim, one.expected_json});
  return out;
}

database::TenantDatabasesConfig databases_config(const Config& config, std::uint64_t node) {
  database::TenantDatabasesConfig out;
  out.messages.slot_mode = config.slot_mode;
  out.messages.slot_suffix = config.slot_name_suffix;
  out.messages.node = node;
  out.messages.resume_window = config.resume_window;
  out.messages.resume_grace = config.resume_grace;
  out.messages.gap_age_max = config.gap_age_max;
  out.messages.gap_rows_max = static_cast<std::size_t>(config.gap_rows_max);
  out.messages.gap_overlap = config.gap_overlap;
  out.changes.stream = out.messages;
  out.changes.stream.retry = {std::chrono::milliseconds(100), std::chrono::milliseconds(5'000)};
  out.migrations_max = config.migrations_max > 0 ? static_cast<std::size_t>(config.migrations_max)
                                                 : 2 * std::max<std::size_t>(1, std::thread::hardware_concurrency());
  if (config.policy_checks == PolicyChecks::kExpressions) out.each.policy_method = database::PolicyMethod::kExpressions;
  if (config.run_janitor) {
    out.janitor = database::JanitorConfig{.first = config.janitor_interval + config.janitor_first_delay,
                                          .every = config.janitor_interval,
                                          .adds_random_minutes = config.janitor_randomize};
  }
  return out;
}

net::Family family(IpVersion version) {
  switch (version) {
    case IpVersion::kV4:
      return net::Family::kV4;
    case IpVersion::kV6:
      return net::Family::kV6;
    case IpVersion::kAny:
      break;
  }
  return net::Family::kAny;
}

net::ListenerConfig listener_config(const Config& config) {
  return {.address = config.listen_address,
          .port = config.port,
          .family = family(config.ip_version),
          .connections_max = config.connections_max};
}

// Null where none is asked for.
Result<std::unique_ptr<TlsPort>> open_tls_port(const Config& config, asio::io_context& io,
                                               const std::vector<net::Worker*>& workers, Log& log) {
  if (!config.tls_port) return nullptr;
  net::ListenerConfig listener = listener_config(config);
  listener.port = *config.tls_port;
  if (!config.tls_listen_address.empty()) listener.address = config.tls_listen_address;
  auto port =
      TlsPort::open(listener, {config.tls_cert_file, config.tls_key_file}, config.tls_offload, io, workers, log);
  if (!port) return fail(port.error(), "opening the TLS port");
  return port;
}

// Whoever waits for the file sees it only when it is whole.
Result<void> write_ready_file(const std::string& path, const net::Listener& plain, const TlsPort* tls) {
  const std::string temporary = path + ".tmp";
  std::ofstream out(temporary);
  out << plain.port() << '\n';
  if (tls != nullptr) out << tls->listener().port() << '\n';
  out.close();
  if (std::rename(temporary.c_str(), path.c_str()) != 0) return fail("cannot write the ready file " + path);
  return {};
}

// A worker, its shard, and the thread that runs them.
struct Lane {
  std::unique_ptr<net::Worker> worker;
  std::unique_ptr<realtime::Shard> shard;
  std::thread thread;
};

// Work for a worker's thread.
class CallMail final : public net::Mail {
 public:
  explicit CallMail(std::function<void()> call) : call_(std::move(call)) {}
  void deliver() override { call_(); }

 private:
  std::function<void()> call_;
};

// Tells every worker what has changed of a tenant. Thread-safe.
void apply(realtime::Node& node, std::string_view external_id, const realtime::RecordChange& change) {
  using Presence = realtime::LiveTenants::Presence;
  const auto tenant = node.tenants.to_change(external_id, change.is_gone ? Presence::kIsGone : Presence::kStays);
  if (!tenant) return;
  for (realtime::Shard* shard : node.shards)
    shard->worker().post(std::make_unique<CallMail>([shard, tenant, change] { shard->change(tenant, change); }));
}

// From the first signal to the end of the process.
class Lifecycle {
 public:
  // `tls_port` may be null.
  Lifecycle(const Config& config, asio::io_context& io, net::Listener& listener, TlsPort* tls_port,
            realtime::Node& node, std::vector<Lane>& lanes)
      : config_(config),
        io_(io),
        listener_(listener),
        tls_port_(tls_port),
        node_(node),
        lanes_(lanes),
        signals_(io, SIGTERM, SIGINT, SIGHUP),
        timer_(io),
        poll_(io) {
    wait_for_signal();
  }

 private:
  static constexpr std::size_t kSessionsPerBatch = 10'000;
  static constexpr std::chrono::seconds kBatchInterval{2};
  static constexpr std::chrono::milliseconds kPollInterval{20};

  void wait_for_signal() {
    signals_.async_wait([this](const boost::system::error_code& error, int number) {
      if (error) return;
      on_signal(number);
      wait_for_signal();
    });
  }

  void on_signal(int number) {
    if (number == SIGHUP) return reload();
    if (!node_.draining.load()) return begin_drain();
    node_.log.warning("a second signal: stopping now");
    io_.stop();
  }

  void reload() {
    node_.log.reopen();
    if (tls_port_ != nullptr) tls_port_->reload();
  }

  void begin_drain() {
    node_.log.info("draining: joins are refused, sockets are closed after " +
                   std::to_string(config_.drain_delay.count()) + " ms");
    node_.draining.store(true);
    drain_until_ = std::chrono::steady_clock::now() + config_.drain_timeout;
    timer_.expires_after(config_.drain_delay);
    timer_.async_wait([this](const boost::system::error_code& error) {
      if (error) return;
      listener_.close();
      if (tls_port_ != nullptr) tls_port_->listener().close();
      for (Lane& lane : lanes_) on_worker(lane, [&lane] { lane.worker->refuse_new_requests(); });
      close_batch();
      poll_for_end();
    });
  }

  void close_batch() {
    const std::size_t share = std::max<std::size_t>(1, kSessionsPerBatch / lanes_.size());
    for (Lane& lane : lanes_) on_worker(lane, [&lane, share] { lane.shard->drain(share); });
    timer_.expires_after(kBatchInterval);
    timer_.async_wait([this](const boost::system::error_code& error) {
      if (!error) close_batch();
    });
  }

  void poll_for_end() {
    if (listener_.connections() == 0 || std::chrono::steady_clock::now() >= drain_until_) return io_.stop();
    poll_.expires_after(kPollInterval);
    poll_.async_wait([this](const boost::system::error_code& error) {
      if (!error) poll_for_end();
    });
  }

  static void on_worker(Lane& lane, std::function<void()> call) {
    lane.worker->post(std::make_unique<CallMail>(std::move(call)));
  }

  const Config& config_;
  asio::io_context& io_;
  net::Listener& listener_;
  TlsPort* tls_port_;
  realtime::Node& node_;
  std::vector<Lane>& lanes_;
  asio::signal_set signals_;
  asio::steady_timer timer_;
  asio::steady_timer poll_;
  std::chrono::steady_clock::time_point drain_until_;
};

// Null: nothing is to be pushed.
std::unique_ptr<MetricsPusher> metrics_pusher(const Config& config, NodeParts& parts, PushCounters& counters,
                                              Log& log) {
  if (!config.metrics_pusher_enabled) return nullptr;
  if (!config.metrics_pusher_url) {
    log.warning("METRICS_PUSHER_ENABLED is set and METRICS_PUSHER_URL is not: metrics are not pushed");
    return nullptr;
  }
  parts.pushes = &counters;
  const PushConfig push{.url = *config.metrics_pusher_url,
                        .user = config.metrics_pusher_user,
                        .password = config.metrics_pusher_auth,
                        .interval = config.metrics_pusher_interval,
                        .timeout = config.metrics_pusher_timeout,
                        .compress = config.metrics_pusher_compress,
                        .extra_labels = config.metrics_pusher_extra_labels};
  return std::make_unique<MetricsPusher>(
      push, MetricsPusher::Scrapes{[&parts] { return scrape_node(parts); }, [&parts] { return scrape_tenants(parts); }},
      log, counters);
}

int failed(const Error& error) {
  std::cerr << "realtime: " << error.message << '\n';
  return 1;
}

}  // namespace

int serve(Config config) {
  std::signal(SIGPIPE, SIG_IGN);
  SystemClock clock;
  SystemRandom random;
  const double started_at = std::chrono::duration<double>(clock.wall().time_since_epoch()).count();
  auto log = Log::open(config.log);
  if (!log) return failed(log.error());
  if (const auto ok = resolve_secrets(config, random); !ok) return failed(ok.error());
  const auto lock = lock_data_dir(config.data_dir);
  if (!lock) return failed(lock.error());
  if (const auto ok = raise_open_files(config); !ok) return failed(ok.error());
  for (const std::string& warning : config.warnings) (*log)->warning(warning);
  if (config.db_enc_write_gcm && !config.db_enc_key_gcm)
    (*log)->warning("DB_ENC_WRITE_GCM is set and DB_ENC_KEY_GCM is not: secrets are written in the old format");
  const tenants::Encryption secrets = encryption(config);
  tenancy::Directory directory(secrets, [&log](const std::string& complaint) { (*log)->warning(complaint); });
  auto registry = open_registry(config, directory, secrets, random, **log);
  if (!registry) return failed(registry.error());

  const int workers =
      config.workers > 0 ? config.workers : static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 1u, 64u));
  realtime::LiveTenants tenants([&directory](std::string_view name) { return directory.find(name); },
                                config.default_tenant, static_cast<std::size_t>(workers), clock);
  const std::string node_name = config.app_name + "@127.0.0.1";
  realtime::Node node(node_config(config, this_replica(node_name, clock)), HashKey{random.next(), random.next()},
                      tenants, **log, random);
  database::TenantDatabases databases(
      databases_config(config, node.config.replica.node),
      {.find = [&directory](std::string_view name) { return directory.find(name); },
       .users = [&tenants](std::string_view name) { return tenants.users_of(name); },
       .on_migrations =
           [&registry](const std::string& name, std::int64_t migrations, const std::function<void()>& done) {
             const bool is_posted = (*registry)->put(name, "{\"migrations_ran\":" + std::to_string(migrations) + "}",
                                                     [done](const auto&) { done(); });
             if (!is_posted) done();
           },
       .on_vacant =
           [&tenants](const std::string& name) {
             if (const auto tenant = tenants.known(name)) tenant->cease_to_want_database();
           },
       .messages = {.publish = [&node](StoredBroadcast row) { realtime::publish_stored(node, std::move(row)); },
                    .events_are_over_limit =
                        [&node](std::string_view name) { return realtime::events_are_over_limit(node, name); },
                    .may_publish = [&node] { return realtime::may_publish(node); },
                    .when_may_publish =
                        [&node](std::function<void()> then) { realtime::when_may_publish(node, std::move(then)); }},
       .changes = {.publish = [&node](ChangeBatch batch) { realtime::publish_changes(node, std::move(batch)); },
                   .tell = [&node](ChangesId id,
                                   ChangesNotice notice) { realtime::tell_changes(node, id, std::move(notice)); },
                   .are_over_limit =
                       [&node](std::string_view name) { return realtime::changes_are_over_limit(node, name); },
                   .may_publish = [&node] { return realtime::may_publish(node); },
                   .when_may_publish =
                       [&node](std::function<void()> then) { realtime::when_may_publish(node, std::move(then)); }}},
      secrets, clock, random, **log);
  node.ask_rights = [&databases](std::string_view tenant, RightsQuestion question, realtime::AnswerRights answer) {
    databases.ask(tenant, std::move(question), std::move(answer));
  };
  node.is_streaming = [&databases](std::string_view tenant) { return databases.is_streaming(tenant); };
  node.want_database = [&databases](std::string_view tenant) { databases.want(tenant); };
  node.ask_replay = [&databases](std::string_view tenant, ReplayQuestion question, AnswerReplay answer) {
    databases.replay(tenant, std::move(question), std::move(answer));
  };
  node.changes = {
      .subscribe = [&databases](std::string_view tenant,
                                ChangesQuestion question) { databases.subscribe(tenant, std::move(question)); },
      .unsubscribe = [&databases](std::string_view tenant, ChangesId id) { databases.unsubscribe(tenant, id); }};
  NodeParts parts{.tenants = &tenants,
                  .connections_max = config.connections_max,
                  .node_name = node_name,
                  .region = config.region,
                  .started_at = started_at,
                  .log = log->get(),
                  .databases = &databases,
                  .store_is_usable = [&registry] { return (*registry)->store_is_usable(); }};
  const auto obstacles = [&node, &registry] {
    return std::string(node.draining.load() ? "draining\n" : "") +
           ((*registry)->is_loaded() ? "" : "the control store is not loaded\n");
  };
  JobThread jobs("jobs", kJobsMax);
  tenancy::TenantApi tenant_api(
      directory, **registry,
      {.connected_users = [&tenants](std::string_view name) { return tenants.users_of(name); },
       .disconnect_sockets = [&node](std::string_view name) { apply(node, name, {.disconnects = true}); },
       .run_elsewhere = [&jobs](std::function<void()> job) { return jobs.post(std::move(job)); },
       .database_health =
           [&databases](const std::string& name, std::function<void(tenancy::DatabaseHealth)> done) {
             databases.health(name, [done = std::move(done)](database::DatabaseHealth health) {
               done({.has_database = health.has_database,
                     .is_connected = health.is_connected,
                     .is_streaming = health.is_streaming});
             });
           },
       .disconnect_database = [&databases](const std::string& name,
                                           std::function<void()> done) { databases.disconnect(name, std::move(done)); },
       .prepare_database =
           [&databases](const std::string& name, std::function<void(bool)> done) {
             databases.prepare(name, OldMessages::kStay,
                               [done = std::move(done)](const Result<void>& prepared) { done(prepared.has_value()); });
           },
       .migrations = postgres::kVersionsOfOthers,
       .region = config.region,
       .node_name = parts.node_name});
  Routes routes({.metrics = {{*config.metrics_jwt_secret}, config.metrics_token_blocklist},
                 .admin = {admin_secrets(config), config.api_token_blocklist},
                 .region = config.region,
                 .request_id_baggage_key = config.request_id_baggage_key,
                 .debug_echo = config.debug_echo,
                 .health_checks = config.log_healthchecks ? ops::HealthChecks::kLogged : ops::HealthChecks::kNotLogged},
                node, tenant_api, clock, random, jobs,
                {.is_loaded = [&registry] { return (*registry)->is_loaded(); },
                 .is_known = [&directory](std::string_view name) { return directory.find(name) != nullptr; },
                 .look_up =
                     [&registry](std::string_view name, std::function<void()> done) {
                       return (*registry)->look_up(std::string(name), std::move(done));
                     }},
                obstacles, [&parts] { return scrape(parts); });

  std::vector<Lane> lanes(static_cast<std::size_t>(workers));
  auto batches = send_batches(config, lanes.size(), **log);
  if (!batches) return failed(batches.error());
  const std::string send_method((*batches)[0]->name());
  std::vector<net::Worker*> all_workers;
  for (int i = 0; i < workers; ++i) {
    Lane& lane = lanes[static_cast<std::size_t>(i)];
    lane.worker = std::make_unique<net::Worker>(i, worker_config(config), clock, routes,
                                                std::move((*batches)[static_cast<std::size_t>(i)]));
    lane.shard = std::make_unique<realtime::Shard>(node, *lane.worker);
    node.shards.push_back(lane.shard.get());
    routes.add_worker(*lane.worker);
    all_workers.push_back(lane.worker.get());
    parts.workers.push_back(lane.worker.get());
    parts.shards.push_back(lane.shard.get());
  }

  asio::io_context io{1};
  auto listener = net::Listener::open(listener_config(config), io, all_workers);
  if (!listener) return failed(listener.error());
  auto tls_port = open_tls_port(config, io, all_workers, **log);
  if (!tls_port) return failed(tls_port.error());
  parts.listener = listener->get();
  parts.tls_port = tls_port->get();
  PushCounters pushes;
  auto pusher = metrics_pusher(config, parts, pushes, **log);
  Counter vacancy_sweeps;
  if (config.run_janitor) {
    parts.vacancy_sweeps = &vacancy_sweeps;
    sweep_vacant_tenants(io, jobs, tenants, **log, vacancy_sweeps, config.metrics_cleaner_interval);
  }
  if (config.log_usage) {
    log_connections(
        io, jobs, tenants, [&directory](std::string_view name) { return directory.find(name); }, **log,
        config.usage_interval);
  }
  for (Lane& lane : lanes) {
    lane.thread = std::thread([&lane] {
      pthread_setname_np(pthread_self(), ("worker-" + std::to_string(lane.worker->index())).c_str());
      lane.worker->run();
    });
  }
  databases.start();
  (*registry)->start([&node, &databases](const tenancy::TenantChange& change) {
    apply(node, change.external_id,
          {.record = change.tenant,
           .is_gone = change.tenant == nullptr,
           .keys = change.effects.keys,
           .disconnects = change.effects.disconnects,
           .event_rate = change.effects.event_rate,
           .join_rate = change.effects.join_rate,
           .presence_rate = change.effects.presence_rate});
    // After the workers: what their channels still wait for is answered behind the end of their sockets.
    if (change.effects.database || change.tenant == nullptr) databases.changed(change.external_id, change.former);
  });
  if (config.seed_self_host && config.db_host) {
    databases.prepare(config.self_host_tenant_name, OldMessages::kAreDropped, [&log](const Result<void>& prepared) {
      (*log)->info(prepared ? "Tenant set-up successfully" : "Failed to set-up tenant: " + prepared.error().message);
    });
  }
  int exit_code = 0;
  {
    Lifecycle lifecycle(config, io, **listener, tls_port->get(), node, lanes);
    const std::string with_tls =
        *tls_port ? ", with TLS on port " + std::to_string((*tls_port)->listener().port()) : std::string();
    (*log)->info("listening on port " + std::to_string((*listener)->port()) + with_tls + ", " +
                 std::to_string(workers) + " workers, " + std::to_string(directory.size()) + " tenants, sending with " +
                 send_method);
    if (!config.ready_file.empty()) {
      if (const auto ok = write_ready_file(config.ready_file, **listener, tls_port->get()); !ok) {
        exit_code = failed(ok.error());
        io.stop();
      }
    }
    io.run();
  }
  (*listener)->close();
  if (*tls_port) (*tls_port)->listener().close();
  databases.stop();
  (*registry)->stop();
  pusher.reset();
  jobs.stop();
  for (Lane& lane : lanes) lane.worker->stop();
  for (Lane& lane : lanes) lane.thread.join();
  (*log)->info("stopped");
  // Mails between workers name shards and workers, so all of those go together, and sessions before what they borrow.
  for (Lane& lane : lanes) lane.worker->discard_mail();
  for (Lane& lane : lanes) lane.shard.reset();
  for (Lane& lane : lanes) lane.worker.reset();
  return exit_code;
}

}  // namespace rt::app
