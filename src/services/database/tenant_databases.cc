#include "services/database/tenant_databases.h"

#include <pthread.h>

#include <algorithm>
#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <list>
#include <map>
#include <utility>

#include "base/check.h"
#include "io/postgres/canceller.h"
#include "io/postgres/resolver.h"
#include "io/postgres/sqlstate.h"

namespace rt::database {
namespace {

namespace asio = boost::asio;

constexpr std::chrono::minutes kMinute{1};
constexpr std::chrono::seconds kHealthPatience{15};
// Milliseconds of a migration.
constexpr std::array<std::int64_t, 13> kMigrationBounds{100,    250,    500,    1'000,  2'000,  5'000,  10'000,
                                                        20'000, 30'000, 45'000, 60'000, 90'000, 120'000};

std::string place_of(const TenantSettings& settings) {
  const postgres::ConnectionSettings& how = settings.connection;
  return how.host + " " + how.port + " " + how.database;
}

}  // namespace

struct TenantDatabases::Migrations {
  std::map<std::string, Histogram<kMigrationBounds>> took;  // by region
  std::map<std::string_view, std::uint64_t> failed;
};

struct TenantDatabases::Tenant {
  const std::shared_ptr<Breakers> breakers = std::make_shared<Breakers>();
  const std::shared_ptr<DatabaseState> state = std::make_shared<DatabaseState>();
  std::unique_ptr<TenantDatabase> database;  // null: not connected
  std::shared_ptr<FeedMemory> memory;        // of messages of the database
  const std::shared_ptr<ChangeDesk> desk = std::make_shared<ChangeDesk>();
  std::shared_ptr<SlotMemory> changes_memory;  // of its row changes
  std::string memory_of;                       // that is there
  int ending = 0;                              // earlier ones that are being closed
  std::vector<std::function<void()>> until_ended;
  std::vector<Prepared> until_prepared;  // empty: nobody asked for it
  bool is_tried_again = false;           // for its row changes, soon
  bool keeps_messages = false;           // it is looked after its partitions at the moment
  bool is_wanted = false;                // it had users since it was vacant
  int minutes_without_users = 0;         // while it is not connected
  bool is_to_be_cleaned = false;         // it was connected since the janitor was here
};

// What a coroutine of the loop has that takes long, so that it ends with the loop.
class TenantDatabases::Cancellable {
 public:
  explicit Cancellable(Loop& loop);
  ~Cancellable();
  Cancellable(const Cancellable&) = delete;
  Cancellable& operator=(const Cancellable&) = delete;

  const std::shared_ptr<postgres::Cancellation>& cancellation() const { return *place_; }

 private:
  Loop& loop_;
  std::list<std::shared_ptr<postgres::Cancellation>>::iterator place_;
};

struct TenantDatabases::Loop {
  Loop(TenantDatabases& owner, std::size_t migrations_max)
      : resolver(postgres::make_resolver(io)),
        migrating(io, migrations_max),
        parts{.surroundings = {.io = io, .resolver = *resolver, .canceller = canceller},
              .clock = owner.clock_,
              .random = owner.random_,
              .log = owner.log_,
              .migrating = migrating,
              .counters = owner.counters_,
              .config = owner.config_.each,
              .messages = owner.config_.messages,
              .changes = owner.config_.changes,
              .sink = owner.surroundings_.messages.publish ? &owner.surroundings_.messages : nullptr,
              .change_sink = owner.surroundings_.changes.publish ? &owner.surroundings_.changes : nullptr,
              .find = owner.surroundings_.find,
              .users = owner.surroundings_.users,
              .on_opened = [&owner](const std::string& name,
                                    const Opening& opening) { owner.note_opened(name, opening, [] {}); },
              .on_failed = [&owner](const std::string& name,
                                    const OpeningFault& fault) { owner.note_failed(name, fault); }},
        stopped(io),
        group(io) {}

  asio::io_context io{1};
  std::unique_ptr<postgres::Resolver> resolver;
  postgres::Canceller canceller;
  Slots migrating;
  DatabaseParts parts;
  postgres::Event stopped;
  postgres::Event janitor_stopped{io};
  bool is_stopping = false;
  std::unordered_map<std::string, TenantRef> tenants;
  std::list<std::shared_ptr<postgres::Cancellation>> cancellations;
  postgres::TaskGroup group;
};

TenantDatabases::Cancellable::Cancellable(Loop& loop)
    : loop_(loop),
      place_(loop.cancellations.insert(loop.cancellations.end(), std::make_shared<postgres::Cancellation>())) {
  if (loop.is_stopping) (*place_)->cancel();
}

TenantDatabases::Cancellable::~Cancellable() { loop_.cancellations.erase(place_); }

TenantDatabases::TenantDatabases(const TenantDatabasesConfig& config, Surroundings surroundings,
                                 const tenants::Encryption& encryption, const Clock& clock, Random& random, Log& log)
    : config_(config),
      surroundings_(std::move(surroundings)),
      encryption_(encryption),
      clock_(clock),
      random_(random),
      log_(log),
      migrations_(std::make_unique<Migrations>()),
      loop_(std::make_unique<Loop>(*this, config.migrations_max)) {}

TenantDatabases::~TenantDatabases() { stop(); }

void TenantDatabases::start() {
  loop_->group.spawn(every_minute());
  if (config_.janitor) loop_->group.spawn(clean());
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "databases");
    const auto work = asio::make_work_guard(loop_->io);
    loop_->io.run();
  });
}

void TenantDatabases::stop() {
  if (!thread_.joinable()) return;
  asio::post(loop_->io, [this] {
    loop_->is_stopping = true;
    loop_->stopped.set();
    loop_->janitor_stopped.set();
    asio::co_spawn(loop_->io, end_all(), [this](const std::exception_ptr& error) {
      RT_CHECK(error == nullptr);
      loop_->io.stop();
    });
  });
  thread_.join();
}

postgres::Task<void> TenantDatabases::end_all() {
  for (const auto& [name, tenant] : loop_->tenants) let_go(tenant, SlotStream::Slot::kStays, nullptr);
  for (const auto& cancellation : loop_->cancellations) cancellation->cancel();
  co_await loop_->group.drained();
}

// --- Questions

void TenantDatabases::ask(std::string_view external_id, RightsQuestion question, Answer answer) {
  asio::post(loop_->io,
             [this, name = std::string(external_id), question = std::move(question),
              answer = std::move(answer)]() mutable { ask_now(name, std::move(question), std::move(answer)); });
}

void TenantDatabases::ask_now(const std::string& external_id, RightsQuestion question, Answer answer) {
  RightsFault why_not;
  TenantDatabase* const database = connection_of(external_id, *tenant(external_id), why_not);
  if (database == nullptr) return answer(tl::make_unexpected(std::move(why_not)));
  database->ask(std::move(question), std::move(answer));
}

void TenantDatabases::want(std::string_view external_id) {
  asio::post(loop_->io, [this, name = std::string(external_id)] {
    Tenant& tenant = *this->tenant(name);
    tenant.is_wanted = true;
    open_again(name, tenant);
  });
}

bool TenantDatabases::is_streaming(std::string_view external_id) const {
  const std::lock_guard lock(mutex_);
  const auto found = states_.find(external_id);
  return found != states_.end() && found->second->is_streaming;
}

// Where it has users and no connection, and may have one.
void TenantDatabases::open_again(const std::string& external_id, Tenant& tenant) {
  if (!tenant.is_wanted || tenant.database || loop_->is_stopping || surroundings_.users(external_id) == 0) return;
  const auto record = surroundings_.find(external_id);
  if (!record || record->suspended || tenant.breakers->connecting.is_open(clock_.now())) return;
  const auto settings = settings_of(*record, encryption_);
  if (settings && !*settings) return;
  RightsFault why_not;
  connection_of(external_id, tenant, why_not);
}

void TenantDatabases::replay(std::string_view external_id, ReplayQuestion question, AnswerReplay answer) {
  asio::post(loop_->io, [this, name = std::string(external_id), question = std::move(question),
                         answer = std::move(answer)]() mutable {
    RightsFault why_not;
    TenantDatabase* const database = connection_of(name, *tenant(name), why_not);
    if (database == nullptr) return answer(tl::make_unexpected(std::move(why_not)));
    database->replay(std::move(question), std::move(answer));
  });
}

// --- Row changes

void TenantDatabases::subscribe(std::string_view external_id, ChangesQuestion question) {
  asio::post(loop_->io, [this, name = std::string(external_id), question = std::move(question)]() mutable {
    subscribe_now(name, std::move(question));
  });
}

void TenantDatabases::unsubscribe(std::string_view external_id, ChangesId id) {
  asio::post(loop_->io, [this, name = std::string(external_id), id] {
    const auto found = loop_->tenants.find(name);
    if (found == loop_->tenants.end()) return;
    found->second->desk->remove(id);
    if (found->second->database) found->second->database->unsubscribe(id);
  });
}

void TenantDatabases::subscribe_now(const std::string& external_id, ChangesQuestion question) {
  if (loop_->is_stopping) return;
  const TenantRef tenant = this->tenant(external_id);
  const ChangesId id = question.id;
  const auto refuse = [&](std::string text) {
    surroundings_.changes.tell(id, {ChangesNotice::Status::kError, std::move(text)});
  };
  if (!tenant->desk->put(std::move(question)))
    return refuse(
        "Unable to subscribe to changes: too much is subscribed to by this project already, use fewer or smaller "
        "entries");
  RightsFault why_not;
  TenantDatabase* const database = connection_of(external_id, *tenant, why_not);
  if (database != nullptr) return database->subscribe(id);
  const auto settings = settings_of_tenant(external_id);
  if (settings && !*settings) return refuse(std::string(kNoDatabaseForChanges));
  open_for_changes_later(external_id, tenant);
}

void TenantDatabases::tell_changes_fail(const Tenant& tenant, std::string_view text) {
  tenant.desk->for_each([&](ChangesId id, const ChangeDesk::Question& /*question*/) {
    surroundings_.changes.tell(id, {ChangesNotice::Status::kError, std::string(text)});
  });
}

// Who wants row changes asks once, so it is for us to try again.
void TenantDatabases::open_for_changes_later(const std::string& external_id, const TenantRef& tenant) {
  if (std::exchange(tenant->is_tried_again, true)) return;
  loop_->group.spawn(open_for_changes(external_id, tenant));
}

postgres::Task<void> TenantDatabases::open_for_changes(std::string external_id, TenantRef tenant) {
  const Cancellable running(*loop_);
  postgres::Event woken(loop_->io);
  running.cancellation()->set_hook([&woken] { woken.set(); });
  if (running.cancellation()->is_cancelled()) woken.set();
  const std::chrono::milliseconds least = config_.changes.retry;
  const std::chrono::milliseconds more(static_cast<std::int64_t>(random_.next() % (least.count() + 1)));
  const bool is_stopped = co_await woken.wait_until(clock_.now() + least + more);
  running.cancellation()->set_hook(nullptr);
  tenant->is_tried_again = false;
  if (is_stopped || loop_->is_stopping || tenant->database || tenant->desk->empty()) co_return;
  const auto found = loop_->tenants.find(external_id);
  if (found == loop_->tenants.end() || found->second != tenant) co_return;
  RightsFault why_not;
  if (connection_of(external_id, *tenant, why_not) != nullptr) co_return;
  const auto settings = settings_of_tenant(external_id);
  if (!settings || *settings) open_for_changes_later(external_id, tenant);
}

const TenantDatabases::TenantRef& TenantDatabases::tenant(const std::string& external_id) {
  TenantRef& tenant = loop_->tenants[external_id];
  if (!tenant) tenant = std::make_shared<Tenant>();
  return tenant;
}

// nullopt: there is no such tenant, or it has no database.
Result<std::optional<TenantSettings>> TenantDatabases::settings_of_tenant(const std::string& external_id) const {
  const auto record = surroundings_.find(external_id);
  if (!record) return std::nullopt;
  return settings_of(*record, encryption_);
}

// Begins to make it where there is none. Null: it cannot be had.
TenantDatabase* TenantDatabases::connection_of(const std::string& external_id, Tenant& tenant, RightsFault& why_not) {
  const auto refuse = [&](RightsFaultKind kind, std::string text) {
    why_not = {kind, std::move(text)};
    return nullptr;
  };
  if (loop_->is_stopping) return refuse(RightsFaultKind::kUnavailable, "the server is stopping");
  if (tenant.database) return tenant.database.get();
  const auto record = surroundings_.find(external_id);
  if (!record) return refuse(RightsFaultKind::kUnavailable, "there is no such tenant");
  if (record->suspended) return refuse(RightsFaultKind::kSuspended, "");
  if (tenant.breakers->connecting.is_open(clock_.now())) {
    counters_.refused.add();
    return refuse(RightsFaultKind::kTooManyAttempts, "");
  }
  auto settings = settings_of(*record, encryption_);
  if (!settings) {
    log(LogLevel::kError, external_id, "UnableToConnectToTenantDatabase",
        "the settings of its database cannot be used: " + settings.error().message);
    tenant.breakers->connecting.record(clock_.now());
    return refuse(RightsFaultKind::kUnavailable, settings.error().message);
  }
  if (!*settings) return refuse(RightsFaultKind::kUnavailable, "the tenant has no database");
  {
    const std::lock_guard lock(mutex_);
    states_.emplace(external_id, tenant.state);
  }
  if (tenant.breakers->given_up.failures() != (*settings)->pool_size)
    tenant.breakers->given_up = {(*settings)->pool_size, Breakers::kGivenUpWindow};
  tenant.is_to_be_cleaned = true;
  const std::string place = place_of(**settings);
  if (tenant.memory_of != place) {
    tenant.memory = std::make_shared<FeedMemory>();
    tenant.changes_memory = std::make_shared<SlotMemory>();
  }
  tenant.memory_of = place;
  tenant.database = std::make_unique<TenantDatabase>(loop_->parts, external_id, **std::move(settings), tenant.breakers,
                                                     tenant.state, tenant.memory, tenant.desk, tenant.changes_memory,
                                                     [this, external_id] { let_go_if_given_up(external_id); });
  return tenant.database.get();
}

// --- The end of a connection

// It is the one that says so, so it goes later; by then there may be another one.
void TenantDatabases::let_go_if_given_up(const std::string& external_id) {
  asio::post(loop_->io, [this, external_id] {
    const auto found = loop_->tenants.find(external_id);
    if (found == loop_->tenants.end() || !found->second->database) return;
    if (!found->second->database->has_given_up()) return;
    let_go(found->second, SlotStream::Slot::kStays, nullptr);
    if (found->second->desk->empty()) return;
    tell_changes_fail(
        *found->second,
        "Unable to subscribe to changes: the database of this project cannot be reached, it is tried again");
    open_for_changes_later(external_id, found->second);
  });
}

void TenantDatabases::let_go(const TenantRef& tenant, SlotStream::Slot slot, std::function<void()> done) {
  if (done) tenant->until_ended.push_back(std::move(done));
  if (tenant->database) {
    ++tenant->ending;
    loop_->group.spawn(end(tenant, std::move(tenant->database), slot));
  } else if (tenant->ending == 0) {
    for (const auto& tell : std::exchange(tenant->until_ended, {})) tell();
  }
}

postgres::Task<void> TenantDatabases::end(TenantRef tenant, std::unique_ptr<TenantDatabase> database,
                                          SlotStream::Slot slot) {
  const Cancellable running(*loop_);
  co_await database->stop(slot, running.cancellation());
  database.reset();
  if (--tenant->ending > 0) co_return;
  for (const auto& tell : std::exchange(tenant->until_ended, {})) tell();
}

void TenantDatabases::changed(const std::string& external_id, std::shared_ptr<const TenantRecord> former) {
  asio::post(loop_->io, [this, external_id, former = std::move(former)] {
    const TenantRef& tenant = this->tenant(external_id);
    *tenant->breakers = {};
    const auto record = surroundings_.find(external_id);
    const bool is_over = !record || record->suspended;
    const auto before =
        former ? settings_of(*former, encryption_) : Result<std::optional<TenantSettings>>(std::nullopt);
    const auto after = record ? settings_of(*record, encryption_) : Result<std::optional<TenantSettings>>(std::nullopt);
    // Nobody has asked the old database about these.
    auto waiting = tenant->database ? tenant->database->take_waiting() : std::deque<TenantDatabase::Waiting>();
    std::function<void()> then;
    if (is_over && before && *before && !loop_->is_stopping) {
      then = [this, external_id, settings = **before] { loop_->group.spawn(drop_slots_of(external_id, settings, "")); };
    }
    const bool stays_where_it_is = before && after && *before && *after && place_of(**before) == place_of(**after) &&
                                   (*before)->slot_mode == (*after)->slot_mode &&
                                   (*before)->slot_name == (*after)->slot_name;
    let_go(tenant, stays_where_it_is ? SlotStream::Slot::kStays : SlotStream::Slot::kIsDropped, std::move(then));
    if (is_over || !after || !*after) {
      tell_changes_fail(*tenant, kNoDatabaseForChanges);
    } else if (!tenant->desk->empty()) {
      open_for_changes_later(external_id, tenant);
    }
    for (auto& one : waiting) ask_now(external_id, std::move(one.question), std::move(one.answer));
    open_again(external_id, *tenant);
  });
}

// A tenant that is gone must not cost its database anything. An empty name: all that are ours by their names.
postgres::Task<void> TenantDatabases::drop_slots_of(std::string external_id, TenantSettings settings,
                                                    std::string name) {
  const Cancellable running(*loop_);
  const auto dropped = co_await drop_slots(loop_->parts.surroundings, std::move(settings.connection), std::move(name),
                                           running.cancellation());
  if (!dropped && !loop_->is_stopping) {
    log(LogLevel::kError, external_id, "DropReplicationSlotFailed",
        "slots of the database may be left, which keep its log from being removed: " + dropped.error().message);
  }
}

void TenantDatabases::disconnect(const std::string& external_id, std::function<void()> done) {
  asio::post(loop_->io, [this, external_id, done = std::move(done)]() mutable {
    const auto found = loop_->tenants.find(external_id);
    if (found == loop_->tenants.end()) return done();
    let_go(found->second, SlotStream::Slot::kStays, std::move(done));
    if (!found->second->desk->empty()) open_for_changes_later(external_id, found->second);
  });
}

// --- What operators ask

void TenantDatabases::health(const std::string& external_id, std::function<void(DatabaseHealth)> done) {
  asio::post(loop_->io, [this, external_id, done = std::move(done)]() mutable {
    loop_->group.spawn(tell_health(external_id, std::move(done)));
  });
}

postgres::Task<void> TenantDatabases::tell_health(std::string external_id, std::function<void(DatabaseHealth)> done) {
  const auto settings = settings_of_tenant(external_id);
  DatabaseHealth out{.has_database = !settings || settings->has_value()};
  const Time deadline = clock_.now() + kHealthPatience;
  // It may be another one by then.
  while (true) {
    const auto found = loop_->tenants.find(external_id);
    if (found == loop_->tenants.end() || !found->second->database) break;
    TenantDatabase& database = *found->second->database;
    out.is_connected = database.is_connected();
    out.is_streaming = found->second->state->is_streaming;
    if (out.is_connected || !database.is_opening() || clock_.now() >= deadline) break;
    const auto settled = database.settling();
    co_await settled->wait_until(deadline);
  }
  done(out);
}

void TenantDatabases::prepare(const std::string& external_id, OldMessages old, std::function<void(Result<void>)> done) {
  asio::post(loop_->io, [this, external_id, old, done = std::move(done)]() mutable {
    if (loop_->is_stopping) return done(fail("the server is stopping"));
    auto& waiting = tenant(external_id)->until_prepared;
    waiting.push_back(std::move(done));
    if (waiting.size() == 1) loop_->group.spawn(prepare_now(external_id, old));
  });
}

postgres::Task<void> TenantDatabases::prepare_now(std::string external_id, OldMessages old) {
  const Cancellable running(*loop_);
  auto settings = settings_of_tenant(external_id);
  if (!settings) {
    log(LogLevel::kError, external_id, "UnableToConnectToTenantDatabase",
        "the settings of its database cannot be used: " + settings.error().message);
    co_return answer_prepared(external_id, tl::make_unexpected(settings.error()));
  }
  if (!*settings) co_return answer_prepared(external_id, {});
  const auto opening = co_await open_database(loop_->parts.surroundings, **std::move(settings), Purpose::kForSchema,
                                              loop_->migrating, running.cancellation());
  if (!opening) {
    note_failed(external_id, opening.error());
    log(LogLevel::kError, external_id, opening.error().code, opening.error().text);
    co_return answer_prepared(external_id, fail(opening.error().text));
  }
  if (old == OldMessages::kAreDropped) co_await keep_messages(external_id, old);
  note_opened(external_id, *opening, [this, external_id] {
    asio::post(loop_->io, [this, external_id] { answer_prepared(external_id, {}); });
  });
}

void TenantDatabases::answer_prepared(const std::string& external_id, const Result<void>& result) {
  for (const Prepared& done : std::exchange(tenant(external_id)->until_prepared, {})) done(result);
}

// --- From time to time

postgres::Task<void> TenantDatabases::every_minute() {
  while (!co_await loop_->stopped.wait_until(clock_.now() + kMinute)) {
    const Time now = clock_.now();
    std::erase_if(loop_->tenants, [&](const auto& entry) {
      const auto& [name, tenant] = entry;
      if (tenant->database && tenant->database->needs_partitions())
        loop_->group.spawn(keep_messages(name, OldMessages::kStay));
      let_go_if_vacant(name, tenant);
      open_again(name, *tenant);
      const bool is_busy = tenant->database || tenant->ending > 0 || !tenant->until_prepared.empty() ||
                           tenant->keeps_messages || tenant->is_wanted || !tenant->desk->empty() ||
                           (config_.janitor && tenant->is_to_be_cleaned);
      const bool is_forgotten =
          !is_busy && tenant->breakers->connecting.is_empty(now) && tenant->breakers->given_up.is_empty(now);
      if (is_forgotten) {
        const std::lock_guard lock(mutex_);
        states_.erase(name);
      }
      return is_forgotten;
    });
  }
}

void TenantDatabases::let_go_if_vacant(const std::string& external_id, const TenantRef& tenant) {
  const std::int64_t users = surroundings_.users(external_id);
  if (!tenant->database) {
    tenant->minutes_without_users = users > 0 ? 0 : tenant->minutes_without_users + 1;
    if (tenant->is_wanted && tenant->minutes_without_users >= config_.each.vacant_minutes_max) {
      tenant->is_wanted = false;
      surroundings_.on_vacant(external_id);
      drop_left_slot(external_id, *tenant);
    }
  } else if (tenant->database->is_vacant_after_minute(users)) {
    if (std::exchange(tenant->is_wanted, false)) surroundings_.on_vacant(external_id);
    let_go(tenant, SlotStream::Slot::kIsDropped, nullptr);
    tenant->memory_of.clear();  // whoever comes next was not here
  }
  // Who came between the two has said nothing.
  if (!tenant->is_wanted && surroundings_.users(external_id) > 0) tenant->is_wanted = true;
}

// Its connection ended before its last user left.
void TenantDatabases::drop_left_slot(const std::string& external_id, Tenant& tenant) {
  if (!tenant.memory) return;
  const auto settings = settings_of_tenant(external_id);
  if (!settings || !*settings || place_of(**settings) != tenant.memory_of) return;
  for (std::string* name : {&tenant.memory->durable_slot, &tenant.changes_memory->durable_slot}) {
    if (!name->empty()) loop_->group.spawn(drop_slots_of(external_id, **settings, std::exchange(*name, {})));
  }
}

// One after the other: nobody waits for it.
postgres::Task<void> TenantDatabases::clean() {
  const JanitorConfig& janitor = *config_.janitor;
  const auto random_minutes = [&] {
    return std::chrono::minutes(janitor.adds_random_minutes ? 1 + random_.next() % 59 : 0);
  };
  Time next = clock_.now() + janitor.first + random_minutes();
  while (!co_await loop_->janitor_stopped.wait_until(next)) {
    std::vector<std::string> names;
    for (const auto& [name, tenant] : loop_->tenants) {
      if (std::exchange(tenant->is_to_be_cleaned, tenant->database != nullptr)) names.push_back(name);
    }
    for (const std::string& name : names) {
      if (loop_->is_stopping) co_return;
      co_await keep_messages(name, OldMessages::kAreDropped);
    }
    next = clock_.now() + janitor.every + random_minutes();
  }
}

// On a connection of its own, so that nobody waits behind it. What cannot be reached now waits until it
// is used again.
postgres::Task<void> TenantDatabases::keep_messages(std::string external_id, OldMessages old) {
  const Cancellable running(*loop_);
  const TenantRef tenant = this->tenant(external_id);
  auto settings = settings_of_tenant(external_id);
  if (!settings || !*settings || std::exchange(tenant->keeps_messages, true)) co_return;
  (*settings)->connection.application_name = "realtime_janitor";
  auto upkeep = postgres::Result<postgres::PartitionUpkeep>();
  const auto connection = co_await postgres::Connection::open(loop_->parts.surroundings, (*settings)->connection,
                                                              postgres::OnNotice{}, running.cancellation());
  if (connection) {
    const ClosedByCancellation closed(**connection, running.cancellation());
    if (old == OldMessages::kAreDropped) {
      const auto dropped = co_await postgres::drop_old_partitions(**connection);
      if (!dropped && !loop_->is_stopping) {
        log(LogLevel::kError, external_id, "JanitorFailedToDeleteOldMessages",
            "old partitions of realtime.messages could not be dropped: " + dropped.error().message);
      }
    }
    upkeep = co_await postgres::make_partitions(**connection);
  } else {
    upkeep = tl::make_unexpected(connection.error());
  }
  tenant->keeps_messages = false;
  if (tenant->database && !loop_->is_stopping) tenant->database->note_partitions(upkeep);
}

// --- What is told of it

void TenantDatabases::note_opened(const std::string& external_id, const Opening& opening, std::function<void()> done) {
  if (opening.has_migrated) {
    const auto settings = settings_of_tenant(external_id);
    const std::string region = settings && *settings ? (*settings)->region : "";
    const std::lock_guard lock(mutex_);
    migrations_->took[region].record(opening.migration_took.count());
  }
  note_migrations(external_id, opening.migrations_found, opening.migrations, std::move(done));
}

// What was found counts, whatever the record says: the database may have been restored.
void TenantDatabases::note_migrations(const std::string& external_id, std::int64_t found, std::int64_t now,
                                      std::function<void()> done) {
  const auto record = surroundings_.find(external_id);
  if (!record) return done();
  if (record->migrations_ran > 0 && record->migrations_ran != found) {
    log(LogLevel::kWarning, external_id, "MigrationCountMismatch",
        "its database had " + std::to_string(found) + " migrations, its record says " +
            std::to_string(record->migrations_ran));
  }
  if (now == record->migrations_ran) return done();
  surroundings_.on_migrations(external_id, now, std::move(done));
}

void TenantDatabases::note_failed(const std::string& external_id, const OpeningFault& fault) {
  if (fault.migrations_found) note_migrations(external_id, *fault.migrations_found, *fault.migrations_found, [] {});
  if (fault.code != "MigrationsFailedToRun") return;
  const std::lock_guard lock(mutex_);
  ++migrations_->failed[postgres::condition_name(fault.sqlstate)];
}

void TenantDatabases::visit_migrations(const std::function<void(std::string_view, const HistogramCounts&)>& done,
                                       const std::function<void(std::string_view, std::uint64_t)>& failed) const {
  const std::lock_guard lock(mutex_);
  for (const auto& [region, took] : migrations_->took) {
    HistogramCounts counts;
    took.add_to(counts);
    done(region, counts);
  }
  for (const auto& [error, times] : migrations_->failed) failed(error, times);
}

std::vector<TenantDatabases::Meter> TenantDatabases::meters() const {
  const std::lock_guard lock(mutex_);
  std::vector<Meter> out;
  out.reserve(states_.size());
  for (const auto& [name, state] : states_) out.push_back({name, state});
  return out;
}

void TenantDatabases::log(LogLevel level, std::string_view external_id, std::string_view code,
                          const std::string& text) const {
  log_.write(level, {.tenant = external_id, .error_code = code}, std::string(code) + ": " + text);
}

}  // namespace rt::database
