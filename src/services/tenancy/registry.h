// The one that reads and writes the control store, on a thread of its own, because both may block.
//
// It fills the directory before anything else runs, or, where the store cannot be reached then, as soon as it can. Then
// it does what operators ask for, one after the other, and looks from time to time for what others have written: what
// is in the directory is at most one refresh interval old. Whatever changes is told once, after the directory has it.
//
// In between it brings secrets of tenants to the current format of encryption (backfill.h).
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/log.h"
#include "base/random.h"
#include "base/result.h"
#include "domain/tenants/attributes.h"
#include "domain/tenants/encryption.h"
#include "io/store/store.h"
#include "services/tenancy/backfill.h"
#include "services/tenancy/directory.h"

namespace rt::tenancy {

struct TenantChange {
  std::string external_id;
  std::shared_ptr<const TenantRecord> tenant;  // null: it is gone
  std::shared_ptr<const TenantRecord> former;  // as this node knew it until now; null: it did not
  tenants::Effects effects;
};

struct PutOutcome {
  enum class Kind : std::uint8_t {
    kCreated,
    kUpdated,
    kFaulty,       // `faults` says how
    kUnavailable,  // the store cannot be read or written; the log says why
  };
  Kind kind = Kind::kUnavailable;
  std::string faults;                          // a JSON object
  std::shared_ptr<const TenantRecord> tenant;  // of the first two
};

enum class RemoveOutcome : std::uint8_t { kRemoved, kUnknown, kUnavailable };

struct RegistryConfig {
  std::chrono::milliseconds refresh_interval{30'000};
  TenantLimits new_tenant_limits;
};

class Registry {
 public:
  // More are refused until some are done.
  static constexpr std::size_t kJobsMax = 1024;
  // A name that nobody has is not looked for again so soon. Of these names so many are remembered.
  static constexpr std::chrono::milliseconds kUnknownFor{500};
  static constexpr std::size_t kUnknownMax = 4096;
  // Names that are looked for at a time, and requests that wait for one of them: hosts that nobody has must not keep
  // operators waiting.
  static constexpr std::size_t kLookUpsMax = 64;
  // A store that could not be reached at start is tried again after this long, then after twice that, up to the
  // maximum.
  static constexpr std::chrono::milliseconds kRetryMin{500};
  static constexpr std::chrono::milliseconds kRetryMax{15'000};

  using OnChange = std::function<void(const TenantChange&)>;  // on the registry's thread

  // All references must outlive it.
  Registry(const RegistryConfig& config, std::unique_ptr<store::ControlStore> store, Directory& directory,
           const tenants::Encryption& encryption, Random& random, Log& log);
  ~Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  // --- Before start(), on the caller's thread ---

  // Sets the store up, seeds it where there is a tenant to seed, and loads it. A shared store that cannot be reached is
  // no error: it is tried again once the thread runs. One that refuses is.
  Result<void> open(std::optional<TenantRecord> seed);

  // What that does, one by one, for a store that is set up. seed() allows the backfill, and makes the
  // tenant, or gives the one of that name these keys, limits and, where there are any, extensions (tenants.md 12).
  // Everything else of it stays.
  Result<void> seed(const TenantRecord& tenant);
  Result<void> load();

  void start(OnChange on_change);
  // What is asked for already is answered as unavailable. Nothing is told any more once it has returned.
  void stop();

  // --- From any thread; `done` is called on the registry's, once. False: there is too much to do, and it never is. ---

  // What keeps these attributes from being those of a new tenant.
  tenants::AttributeFaults faults_of_new(json::Value object) const {
    return tenants::Attributes(object, encryption_, random_).faults_of_new();
  }
  // `object_json` is a walked JSON object, the attributes of the tenant.
  bool put(std::string external_id, std::string object_json, std::function<void(PutOutcome)> done);
  bool remove(std::string external_id, std::function<void(RemoveOutcome)> done);
  // For a tenant that the directory does not have, where others write to the store: once `done` is called, it has it if
  // there is one. False: there is nothing to wait for, because we have just looked, or nobody else writes.
  bool look_up(const std::string& external_id, std::function<void()> done);

  // From any thread: whether the store could be used the last time, and whether it ever could.
  bool store_is_usable() const { return usable_.load(std::memory_order_relaxed); }
  bool is_loaded() const { return loaded_.load(std::memory_order_relaxed); }

 private:
  using Job = std::function<void()>;

  bool post(Job job);
  void run();
  Job next_job();
  // Looks for news, or for the store where it has not been reached yet; gives after what time to do so again.
  std::chrono::milliseconds look();
  Result<void> open_now();
  void say_that_it_waits(const Error& error);
  void refresh();
  PutOutcome put_now(const std::string& external_id, const std::string& object_json);
  void look_up_now(const std::string& external_id);
  std::shared_ptr<const TenantRecord> made_ready(TenantRecord stored);
  void take_over(TenantRecord stored);
  void renew_next();
  template <class T>
  Result<T> noted(Result<T> result);  // whether the store could be used
  RemoveOutcome remove_now(const std::string& external_id);
  void tell(const std::string& external_id, std::shared_ptr<const TenantRecord> tenant, tenants::Effects effects);

  const RegistryConfig config_;
  const std::unique_ptr<store::ControlStore> store_;
  Directory& directory_;
  const tenants::Encryption& encryption_;
  Random& random_;
  Log& log_;
  OnChange on_change_;
  Backfill backfill_;
  std::atomic<bool> usable_{true};
  std::atomic<bool> loaded_{false};
  std::optional<TenantRecord> seed_;
  std::chrono::milliseconds retry_in_{kRetryMin};
  std::atomic<bool> interrupted_{false};
  std::unordered_map<std::string, std::chrono::steady_clock::time_point> unknown_;  // when we looked, under the mutex
  std::unordered_map<std::string, std::vector<std::function<void()>>> looking_;     // who waits, under the mutex

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Job> jobs_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace rt::tenancy
