#include "services/tenancy/registry.h"

#include <pthread.h>

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "base/check.h"

namespace rt::tenancy {

namespace {

// Hosts bring anything.
bool may_be_name(std::string_view label) {
  return !label.empty() && label.size() <= tenants::kNameBytesMax && std::ranges::all_of(label, [](unsigned char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
  });
}

}  // namespace

Registry::Registry(const RegistryConfig& config, std::unique_ptr<store::ControlStore> store, Directory& directory,
                   const tenants::Encryption& encryption, Random& random, Log& log)
    : config_(config),
      store_(std::move(store)),
      directory_(directory),
      encryption_(encryption),
      random_(random),
      log_(log),
      backfill_(*store_, encryption, random, log) {}

Registry::~Registry() { stop(); }

Result<void> Registry::open(std::optional<TenantRecord> seed) {
  seed_ = std::move(seed);
  auto opened = open_now();
  const bool can_wait = store_->is_shared() && store_->last_failure() == store::Failure::kUnavailable;
  if (opened || !can_wait) return opened;
  usable_ = false;
  say_that_it_waits(opened.error());
  return {};
}

Result<void> Registry::open_now() {
  if (auto ready = store_->set_up(); !ready) return ready;
  if (seed_) {
    if (const auto seeded = seed(*seed_); !seeded) return fail(seeded.error(), "seeding the tenant");
  }
  if (const auto loaded = load(); !loaded) return fail(loaded.error(), "loading the tenants");
  return {};
}

void Registry::say_that_it_waits(const Error& error) {
  log_.error(error.message + "; this node has no tenants until that succeeds, trying again in " +
             std::to_string(retry_in_.count()) + " ms");
}

Result<void> Registry::seed(const TenantRecord& tenant) {
  if (auto put = store_->put_flag({.id = random_.uuid(), .name = std::string(Backfill::kFlag), .enabled = true}); !put)
    return put;
  const auto changed = store_->change_tenant(tenant.external_id, [&](const std::optional<TenantRecord>& current) {
    TenantRecord seeded = current.value_or(tenant);
    seeded.name = tenant.name;
    seeded.jwt_secret = tenant.jwt_secret;
    seeded.jwt_jwks = tenant.jwt_jwks;
    const TenantLimits kept = seeded.limits;
    seeded.limits = tenant.limits;
    seeded.limits.payload_kb_max = kept.payload_kb_max;
    seeded.limits.client_presence_events_max = kept.client_presence_events_max;
    seeded.limits.client_presence_window_ms = kept.client_presence_window_ms;
    if (tenant.extensions.empty()) return store::Write{std::move(seeded), store::Extensions::kKeep};
    seeded.extensions = tenant.extensions;
    return store::Write{std::move(seeded), store::Extensions::kReplace};
  });
  if (!changed) return tl::make_unexpected(changed.error());
  return {};
}

Result<void> Registry::load() {
  if (const auto seen = store_->has_changed(); !seen) return tl::make_unexpected(seen.error());
  auto flags = store_->load_flags();
  if (!flags) return tl::make_unexpected(flags.error());
  auto records = store_->load_tenants();
  if (!records) return tl::make_unexpected(records.error());
  directory_.set_flags(tenants::FeatureFlags(*std::move(flags)));
  for (TenantRecord& record : *records) directory_.put(made_ready(std::move(record)));
  loaded_ = true;
  return {};
}

std::shared_ptr<const TenantRecord> Registry::made_ready(TenantRecord stored) {
  const bool is_due = backfill_.is_due(stored);
  auto tenant = directory_.made_ready(std::move(stored));
  if (is_due && directory_.flags()->is_enabled_for(Backfill::kFlag, *tenant)) backfill_.add(tenant->external_id);
  return tenant;
}

void Registry::start(OnChange on_change) {
  RT_CHECK(!thread_.joinable());
  on_change_ = std::move(on_change);
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "registry");
    run();
  });
}

void Registry::stop() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  // Nobody waits for a store that does not answer.
  interrupted_ = true;
  store_->interrupt();
  wake_.notify_one();
  thread_.join();
}

bool Registry::post(Job job) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_ || jobs_.size() >= kJobsMax) return false;
    jobs_.push_back(std::move(job));
  }
  wake_.notify_one();
  return true;
}

void Registry::run() {
  auto look_at = std::chrono::steady_clock::now() + (is_loaded() ? config_.refresh_interval : retry_in_);
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait_until(lock, look_at, [this] { return stopping_ || !jobs_.empty() || backfill_.has_work(); });
    if (stopping_ && jobs_.empty()) return;
    const Job job = next_job();
    lock.unlock();
    if (job) job();
    if (std::chrono::steady_clock::now() >= look_at) look_at = std::chrono::steady_clock::now() + look();
    lock.lock();
  }
}

// Under the mutex. What operators ask for goes first. Null: there is nothing to do.
Registry::Job Registry::next_job() {
  if (jobs_.empty()) return backfill_.has_work() ? [this] { renew_next(); } : Job();
  Job job = std::move(jobs_.front());
  jobs_.pop_front();
  return job;
}

std::chrono::milliseconds Registry::look() {
  if (is_loaded()) {
    refresh();
    return config_.refresh_interval;
  }
  if (interrupted_) return retry_in_;
  if (const auto opened = noted(open_now()); !opened) {
    retry_in_ = std::min(retry_in_ * 2, kRetryMax);
    say_that_it_waits(opened.error());
    return retry_in_;
  }
  log_.info("the control store is loaded: " + std::to_string(directory_.size()) + " tenants");
  return config_.refresh_interval;
}

template <class T>
Result<T> Registry::noted(Result<T> result) {
  if (result || store_->last_failure() != store::Failure::kOfData)
    usable_.store(result.has_value(), std::memory_order_relaxed);
  return result;
}

void Registry::refresh() {
  const bool was_usable = store_is_usable();
  const auto changed = noted(store_->has_changed());
  if (changed && !*changed && was_usable) return;
  auto flags = changed ? noted(store_->load_flags()) : tl::make_unexpected(changed.error());
  auto records = flags ? noted(store_->load_tenants()) : tl::make_unexpected(flags.error());
  if (!records) {
    // Said once, not each time.
    if (was_usable)
      log_.error("the control store cannot be read, tenants stay as they were known: " + records.error().message);
    return;
  }
  if (!was_usable) log_.info("the control store can be read again");
  directory_.set_flags(tenants::FeatureFlags(*std::move(flags)));
  std::unordered_set<std::string> present;
  for (TenantRecord& record : *records) {
    present.insert(record.external_id);
    take_over(std::move(record));
  }
  for (const auto& tenant : directory_.all()) {
    if (!present.contains(tenant->external_id))
      tell(tenant->external_id, nullptr, {.keys = true, .disconnects = true, .any = true});
  }
}

// A record that was read, which may be what we know already.
void Registry::take_over(TenantRecord stored) {
  auto tenant = made_ready(std::move(stored));
  const auto known = directory_.find(tenant->external_id);
  const tenants::Effects effects =
      known ? tenants::effects_of(*known, *tenant, {}, encryption_) : tenants::Effects{.any = true};
  if (effects.any) return tell(tenant->external_id, tenant, effects);
  // Nothing that concerns anybody: secrets lie in another format.
  if (known->extensions != tenant->extensions) directory_.put(std::move(tenant));
}

void Registry::renew_next() {
  if (interrupted_) return;
  const auto name = backfill_.do_next();
  if (!name) return;
  auto stored = noted(store_->find_tenant(*name));
  if (stored && *stored) take_over(std::move(**stored));
}

void Registry::tell(const std::string& external_id, std::shared_ptr<const TenantRecord> tenant,
                    tenants::Effects effects) {
  // Others may have written since this node has looked: what counts is the difference to what it knows.
  auto known = directory_.find(external_id);
  if (known && tenant) effects |= tenants::effects_of(*known, *tenant, {}, encryption_);
  backfill_.forget(external_id);
  if (tenant) {
    directory_.put(tenant);
  } else {
    directory_.erase(external_id);
  }
  on_change_({external_id, std::move(tenant), std::move(known), effects});
}

bool Registry::put(std::string external_id, std::string object_json, std::function<void(PutOutcome)> done) {
  return post([this, external_id = std::move(external_id), object_json = std::move(object_json),
               done = std::move(done)] { done(put_now(external_id, object_json)); });
}

bool Registry::remove(std::string external_id, std::function<void(RemoveOutcome)> done) {
  return post([this, external_id = std::move(external_id), done = std::move(done)] { done(remove_now(external_id)); });
}

bool Registry::look_up(const std::string& external_id, std::function<void()> done) {
  if (!store_->is_shared() || !store_is_usable() || !may_be_name(external_id)) return false;
  const auto now = std::chrono::steady_clock::now();
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = unknown_.find(external_id); found != unknown_.end() && now - found->second < kUnknownFor)
      return false;
    if (const auto found = looking_.find(external_id); found != looking_.end()) {
      if (found->second.size() >= kLookUpsMax) return false;
      found->second.push_back(std::move(done));
      return true;
    }
    if (stopping_ || looking_.size() >= kLookUpsMax) return false;
    looking_[external_id].push_back(std::move(done));
    jobs_.emplace_back([this, external_id] { look_up_now(external_id); });
  }
  wake_.notify_one();
  return true;
}

void Registry::look_up_now(const std::string& external_id) {
  const bool was_usable = store_is_usable();
  // While it is not, the next refresh tells when it is back.
  auto found = was_usable && !interrupted_ ? noted(store_->find_tenant(external_id))
                                           : Result<std::optional<TenantRecord>>(std::nullopt);
  if (!found) {
    log_.error("the control store cannot be read, tenants stay as they were known: " + found.error().message);
  } else if (found->has_value()) {
    tell(external_id, made_ready(std::move(**found)), {.any = true});
  }
  std::vector<std::function<void()>> waiting;
  {
    const std::lock_guard lock(mutex_);
    waiting = std::move(looking_.extract(external_id).mapped());
    if (!found || !found->has_value()) {
      if (unknown_.size() >= kUnknownMax) unknown_.clear();
      unknown_[external_id] = std::chrono::steady_clock::now();
    }
  }
  for (const auto& done : waiting) done();
}

PutOutcome Registry::put_now(const std::string& external_id, const std::string& object_json) {
  using Kind = PutOutcome::Kind;
  if (interrupted_ || !is_loaded()) return {};
  const tenants::Attributes attributes(json::Value(object_json), encryption_, random_);
  std::optional<tenants::AttributeFaults> faults;
  tenants::Effects effects;
  bool is_new = false;
  const auto change = [&](const std::optional<TenantRecord>& current) -> std::optional<store::Write> {
    is_new = !current.has_value();
    const TenantRecord before = current.value_or(TenantRecord{.id = random_.uuid(), .external_id = external_id});
    TenantRecord record = before;
    if (is_new) record.limits = config_.new_tenant_limits;
    const auto supplied = attributes.apply(record, is_new ? tenants::Incomplete::kSkip : tenants::Incomplete::kRefuse);
    faults = supplied ? std::nullopt : std::optional(supplied.error());
    if (!supplied) return std::nullopt;
    if (is_new) record.name = external_id;
    effects = is_new ? tenants::Effects{.any = true} : tenants::effects_of(before, record, *supplied, encryption_);
    if (!effects.any) return std::nullopt;
    return store::Write{std::move(record),
                        supplied->extensions ? store::Extensions::kReplace : store::Extensions::kKeep};
  };
  auto changed = noted(store_->change_tenant(external_id, change));
  if (!changed && store_->last_failure() == store::Failure::kOfData)
    return {.kind = Kind::kFaulty, .faults = R"({"tenant":["is invalid"]})"};
  if (!changed) {
    log_.write(LogLevel::kError, {.tenant = external_id}, "the tenant was not written: " + changed.error().message);
    return {};
  }
  if (faults) return {.kind = Kind::kFaulty, .faults = faults->json()};
  RT_CHECK(changed->has_value());
  auto tenant = made_ready(std::move(**changed));
  if (effects.any) tell(external_id, tenant, effects);
  return {.kind = is_new ? Kind::kCreated : Kind::kUpdated, .tenant = std::move(tenant)};
}

RemoveOutcome Registry::remove_now(const std::string& external_id) {
  if (interrupted_ || !is_loaded()) return RemoveOutcome::kUnavailable;
  const auto removed = noted(store_->delete_tenant(external_id));
  if (!removed) {
    log_.write(LogLevel::kError, {.tenant = external_id, .error_code = "UnableToDeleteTenant"},
               "UnableToDeleteTenant: " + removed.error().message);
    return RemoveOutcome::kUnavailable;
  }
  if (!*removed && !directory_.find(external_id)) return RemoveOutcome::kUnknown;
  tell(external_id, nullptr, {.keys = true, .disconnects = true, .any = true});
  return RemoveOutcome::kRemoved;
}

}  // namespace rt::tenancy
