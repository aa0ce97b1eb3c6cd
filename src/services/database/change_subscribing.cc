// Who wants which changes: what a channel asks for is looked at by the database, all of it or nothing, and then watched
// for (postgres-changes.md 4).
#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <utility>

#include "io/postgres/sqlstate.h"
#include "services/database/asking_as.h"
#include "services/database/change_feed.h"
#include "services/database/policy_probes.h"
#include "services/database/subscription_checks.h"

namespace rt::database {
namespace {

using changes::Request;

constexpr std::size_t kChannelsPerTurn = 64;
constexpr std::size_t kChecksPerTurn = 2'000;
constexpr std::size_t kChecksOfChannelMax = 20'000;
// What the database is asked at once.
constexpr std::size_t kCheckBytesMax = std::size_t{2} << 20;
constexpr std::chrono::milliseconds kFirstRecheck{1'000};
// After a table was taken from the publication: what was written before may still be on its way.
constexpr std::chrono::seconds kRowsMayCome{2};

constexpr std::string_view kSubscribed = "Subscribed to PostgreSQL";
constexpr std::string_view kTimeOuts = R"({:error, "Too many database timeouts"})";
constexpr std::string_view kUnable = "Unable to subscribe to changes with given parameters. ";

std::string no_table_text(const Request& request) {
  return std::string(kUnable) + "Please check Realtime is enabled for the given connect parameters: [" +
         describe(request) + "]";
}

std::string exception_text(const Request& request, std::string_view sqlstate, std::string_view message) {
  return std::string(kUnable) + "An exception happened so please check your connect parameters: [" + describe(request) +
         "]. Exception: ERROR " + std::string(sqlstate) + " (" + std::string(postgres::condition_name(sqlstate)) +
         ") " + std::string(message);
}

bool names(const Request& request, const PublishedTable& table) {
  return changes::is_named_by(request.schema, table.schema) && changes::is_named_by(request.table, table.name);
}

constexpr const char* kCollation =
    "SELECT coalesce(to_jsonb(d) ->> 'datlocprovider', 'c'), datcollate, datctype, coalesce(to_jsonb(d) ->> "
    "'datlocale', to_jsonb(d) ->> 'daticulocale', ''), pg_encoding_to_char(encoding) FROM pg_database d WHERE datname "
    "= current_database()";

// Where the order of texts is that of their bytes, and where `I` is the capital of `i`.
changes::TextRules text_rules(const postgres::Rows& rows) {
  const std::string_view provider = rows.text(0, 0).value_or("c");
  const std::string_view collation = rows.text(0, 1).value_or("");
  const std::string_view letters = provider == "i" ? rows.text(0, 3).value_or("") : rows.text(0, 2).value_or("");
  const std::string_view order = provider == "c" ? collation : provider == "b" ? rows.text(0, 3).value_or("") : "";
  constexpr std::string_view kByBytes[] = {"C", "POSIX", "C.UTF-8", "C.UTF8", "C.utf8"};
  constexpr std::string_view kOwnLetters[] = {"tr", "az", "lt"};
  // Of other encodings we see the bytes in UTF-8.
  return {.orders_by_bytes =
              std::ranges::find(kByBytes, order) != std::end(kByBytes) && rows.text(0, 4).value_or("") == "UTF8",
          .folds_ascii_plainly =
              std::ranges::none_of(kOwnLetters, [&](std::string_view of) { return letters.starts_with(of); })};
}

}  // namespace

// --- What a channel wants

void ChangeFeed::take_question(ChangesId id, std::shared_ptr<const ChangesQuestion> question) {
  Subscriber& subscriber = subscribers_[id];
  subscriber.question = std::move(question);
  subscriber.last_error.clear();
  subscriber.requests.clear();
  unmatched_.erase(id);
  for (const ChangeEntry& entry : subscriber.question->entries) {
    auto request = changes::parse_request(entry.text);
    if (!request) return refuse(subscriber, Stage::kRefused, request.error());
    subscriber.requests.push_back(std::make_shared<const Request>(*std::move(request)));
  }
  const Claims& claims = subscriber.question->token->claims;
  const RightsQuestion as_question{.topic = {}, .claims = claims, .asked = {}};
  if (refused_unasked(as_question, parts_.superuser)) {
    return refuse(subscriber, Stage::kRefused,
                  exception_text(*subscriber.requests.front(), "42704", "role \"" + claims.role + "\" does not exist"));
  }
  subscriber.stage = Stage::kWaiting;
  waiting_.push_back(id);
}

void ChangeFeed::forget(ChangesId id) {
  const auto found = subscribers_.find(id);
  if (found == subscribers_.end()) return;
  drop_elements(found->second);
  subscribers_.erase(found);
  unmatched_.erase(id);
  if (unmatched_.empty()) recheck_at_ = {};
  if (subscribers_.empty()) idle_since_ = parts_.clock.now();
}

std::shared_ptr<const Viewer> ChangeFeed::viewer_of(const Claims& claims) {
  if (viewers_.size() > 2 * subscribers_.size() + 64)
    std::erase_if(viewers_, [](const auto& entry) { return entry.second.expired(); });
  std::pair key(claims.role, claims_for_policies(claims));
  std::weak_ptr<const Viewer>& known = viewers_[key];
  if (auto viewer = known.lock()) return viewer;
  auto viewer = std::make_shared<const Viewer>(Viewer{key.first, key.second});
  known = viewer;
  return viewer;
}

// --- What becomes of it

void ChangeFeed::tell(Subscriber& subscriber, ChangesNotice notice) {
  if (notice.status == ChangesNotice::Status::kError) {
    // What it knows is not said again.
    if (subscriber.last_error == notice.message) return;
    subscriber.last_error = notice.message;
  } else {
    subscriber.last_error.clear();
  }
  parts_.sink.tell(subscriber.question->id, std::move(notice));
}

void ChangeFeed::refuse(Subscriber& subscriber, Stage stage, std::string text) {
  drop_elements(subscriber);
  subscriber.stage = stage;
  if (stage == Stage::kUnmatched) {
    unmatched_.insert(subscriber.question->id);
  } else {
    parts_.counters.refused.add();
  }
  tell(subscriber, {ChangesNotice::Status::kError, std::move(text)});
}

void ChangeFeed::fail_later(Subscriber& subscriber, Time now) {
  subscriber.stage = Stage::kLater;
  const auto spread = static_cast<std::uint64_t>(parts_.config.retry.count()) + 1;
  const std::chrono::milliseconds more(static_cast<std::int64_t>(parts_.random.next() % spread));
  later_.emplace(now + parts_.config.retry + more, subscriber.question->id);
  parts_.counters.timed_out.add();
  tell(subscriber, {ChangesNotice::Status::kError, std::string(kTimeOuts)});
}

void ChangeFeed::fail_all(Time now, const std::string& why) {
  log_sometimes(LogLevel::kError, "SubscriptionManagerConnectionFailed",
                "subscriptions to row changes wait, because the database could not be asked: " + why);
  for (const ChangesId id : std::exchange(waiting_, {})) {
    const auto found = subscribers_.find(id);
    if (found != subscribers_.end() && found->second.stage == Stage::kWaiting) fail_later(found->second, now);
  }
  if (recheck_at_ != Time{}) recheck_at_ = now + parts_.config.retry;
  if (look_at_ != Time{} || !bare_.empty()) look_at_ = now + parts_.config.retry;
}

postgres::Task<void> ChangeFeed::serve() {
  const Time now = parts_.clock.now();
  if (time_outs_.is_open(now)) co_return fail_all(now, "it has timed out too often in the last 30 s");
  if (!text_rules_) {
    postgres::Batch batch;
    batch.statements = {{.sql = "SET LOCAL search_path TO pg_catalog, pg_temp", .plan = postgres::Plan::kOnce},
                        {.sql = kCollation, .plan = postgres::Plan::kOnce}};
    batch.ends = postgres::Ends::kRolledBack;
    const auto rules = co_await parts_.pool.run(std::move(batch));
    if (is_stopping_) co_return;
    if (!rules) co_return fail_all(now, rules.error().message);
    text_rules_ = text_rules(rules->back());
  }
  const auto published = co_await find_published_tables(parts_.pool, settings_.publication);
  if (is_stopping_) co_return;
  if (!published) co_return fail_all(now, published.error().message);
  const Time read = parts_.clock.now();
  const bool is_recheck = look_at_ != Time{} || (recheck_at_ != Time{} && recheck_at_ <= read);
  look_at_ = {};
  std::vector<PublishedTable> fresh = note_published(*published);
  if (published->empty()) {
    if (watched_.empty()) co_await end_stream();
  } else if (!stream_) {
    begin_stream();
  }
  // Without a slot nobody can be told that he is served; on_slot() says when to go on.
  if (!published->empty() && !has_slot_) {
    published_.clear();
    recheck_at_ = {};
    co_return;
  }
  if (!co_await extend(std::move(fresh))) {
    published_.clear();
    co_return fail_all(parts_.clock.now(), "a new table could not be looked at");
  }
  if (is_stopping_) co_return;
  for (const ChangesId id : std::exchange(bare_, {})) {
    const auto found = subscribers_.find(id);
    if (found == subscribers_.end() || found->second.stage != Stage::kServed) continue;
    const bool is_bare =
        std::ranges::any_of(found->second.elements, [this](Handle handle) { return elements_[handle].tables.empty(); });
    if (!is_bare) continue;
    found->second.stage = Stage::kWaiting;
    waiting_.push_back(id);
  }
  if (is_recheck) {
    for (const ChangesId id : unmatched_) {
      subscribers_.at(id).stage = Stage::kWaiting;
      waiting_.push_back(id);
    }
    recheck_pause_ = std::min(recheck_pause_ * 2, parts_.config.recheck);
    recheck_at_ = {};
  }
  // The slot may be lost meanwhile: then those who wait go on waiting, for on_slot().
  while (!waiting_.empty() && !is_stopping_ && (published->empty() || has_slot_)) {
    std::vector<ChangesId> ids;
    while (!waiting_.empty() && ids.size() < kChannelsPerTurn) {
      ids.push_back(waiting_.front());
      waiting_.pop_front();
    }
    co_await serve_some(*published, std::move(ids));
  }
  if (unmatched_.empty()) {
    recheck_at_ = {};
    recheck_pause_ = kFirstRecheck;
  } else if (recheck_at_ == Time{}) {
    recheck_pause_ = std::clamp(recheck_pause_, std::min(kFirstRecheck, parts_.config.recheck), parts_.config.recheck);
    recheck_at_ = parts_.clock.now() + recheck_pause_;
  }
}

postgres::Task<void> ChangeFeed::serve_some(const std::vector<PublishedTable>& published, std::vector<ChangesId> ids) {
  std::vector<Candidate> candidates;
  std::size_t checks = 0;
  for (const ChangesId id : ids) {
    const auto found = subscribers_.find(id);
    if (found == subscribers_.end() || found->second.stage != Stage::kWaiting) continue;
    Subscriber& subscriber = found->second;
    if (checks > kChecksPerTurn) {
      waiting_.push_back(id);
      continue;
    }
    Candidate candidate{.id = id, .question = subscriber.question, .requests = subscriber.requests, .checks = {}};
    const Request* unmatched = nullptr;
    for (std::size_t place = 0; place < subscriber.requests.size() && unmatched == nullptr; ++place) {
      const Request& request = *subscriber.requests[place];
      const std::size_t before = candidate.checks.size();
      // Where it asks for nothing but the table, one look at its role is enough.
      const bool has_conditions = !request.filters.empty() || request.columns;
      for (const PublishedTable& table : published) {
        if (!names(request, table)) continue;
        candidate.checks.push_back({.place = place,
                                    .table = table.oid,
                                    .conditions = {},
                                    .is_asked = has_conditions || candidate.checks.size() == before});
      }
      if (candidate.checks.size() == before) unmatched = &request;
    }
    if (unmatched != nullptr) {
      refuse(subscriber, Stage::kUnmatched, no_table_text(*unmatched));
      continue;
    }
    if (candidate.checks.size() > kChecksOfChannelMax) {
      refuse(subscriber, Stage::kRefused,
             "Too many subscriptions to row changes in one channel: its elements match " +
                 std::to_string(candidate.checks.size()) + " tables together, and may match " +
                 std::to_string(kChecksOfChannelMax) + "; use several channels");
      continue;
    }
    if (watched_count_ + checks + candidate.checks.size() > parts_.config.watched_max) {
      log_sometimes(LogLevel::kError, "UnableToSubscribeToPostgres",
                    "too many subscriptions to row changes are served already: channels are refused");
      refuse(subscriber, Stage::kRefused,
             "Too many subscriptions to row changes: name tables rather than whole schemas, or use fewer channels");
      continue;
    }
    checks += candidate.checks.size();
    candidates.push_back(std::move(candidate));
  }
  if (candidates.empty()) co_return;
  std::vector<std::optional<Failure>> failures(candidates.size());
  const auto loaded = co_await load_tables(candidates);
  const bool is_answered = loaded && co_await accept(candidates, failures);
  if (is_stopping_) co_return;
  const Time now = parts_.clock.now();
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const auto found = subscribers_.find(candidates[i].id);
    // It may have gone, or want something else by now.
    if (found == subscribers_.end() || found->second.question != candidates[i].question) continue;
    Subscriber& subscriber = found->second;
    if (!is_answered || (failures[i] && failures[i]->is_of_the_database)) {
      if (time_outs_.record(now)) {
        log(LogLevel::kError, "IncreaseSubscriptionConnectionPool",
            "Too many database timeouts: subscriptions to row changes are refused until there were fewer in the last "
            "30 s; what takes so long is shown by pg_stat_activity");
      }
      fail_later(subscriber, now);
    } else if (failures[i]) {
      refuse(subscriber, Stage::kRefused, std::move(failures[i]->text));
    } else if (!has_slot_) {
      // It was lost meanwhile: nobody may be told that he is served.
      subscriber.stage = Stage::kWaiting;
      waiting_.push_back(candidates[i].id);
    } else {
      serve_now(subscriber, candidates[i]);
    }
  }
}

postgres::Task<postgres::Result<void>> ChangeFeed::load_tables(const std::vector<Candidate>& candidates) {
  std::set<Oid> all;
  std::set<std::string> roles;
  for (const Candidate& candidate : candidates) {
    roles.insert(candidate.question->token->claims.role);
    for (const Check& check : candidate.checks) {
      all.insert(check.table);
    }
  }
  // What is known may be old: it is for rows that are being worked off as well.
  const auto changed = co_await catalog_.refresh({all.begin(), all.end()}, std::move(roles));
  if (!changed) co_return tl::make_unexpected(changed.error());
  for (const Oid table : *changed) rebuild(table);
  co_return postgres::Result<void>{};
}

// False: the database did not answer. A channel stands or falls with its first element that fails.
postgres::Task<bool> ChangeFeed::accept(std::vector<Candidate>& candidates,
                                        std::vector<std::optional<Failure>>& failures) {
  struct Asked {
    std::size_t candidate = 0;
    std::size_t check = 0;
  };
  std::vector<Asked> asked;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    for (std::size_t j = 0; j < candidates[i].checks.size(); ++j) {
      if (candidates[i].checks[j].is_asked) asked.push_back({i, j});
    }
  }
  for (std::size_t begin = 0; begin < asked.size();) {
    postgres::Batch batch;
    batch.ends = postgres::Ends::kRolledBack;
    batch.statement_timeout = parts_.config.subscribe_timeout;
    // A row for each filter and column.
    batch.limits = {.rows = 1'000'000, .bytes = std::size_t{512} << 20};
    batch.statements = {save()};
    std::vector<std::size_t> place_of;
    std::size_t end = begin;
    for (std::size_t bytes = 0; end < asked.size() && bytes < kCheckBytesMax; ++end) {
      const auto [i, j] = asked[end];
      if (failures[i]) {
        place_of.push_back(0);
        continue;
      }
      // That one fails must not keep the next channel from being asked.
      if (end > begin && asked[end - 1].candidate != i) batch.statements.push_back(go_back());
      const Check& check = candidates[i].checks[j];
      const Request& request = *candidates[i].requests[check.place];
      place_of.push_back(batch.statements.size());
      batch.statements.push_back(check_subscription(check.table, candidates[i].question->token->claims.role,
                                                    request.filters, request.columns));
      const postgres::Statement& statement = batch.statements.back();
      bytes += statement.sql.size() + 64;
      for (const auto& parameter : statement.parameters) bytes += parameter ? parameter->size() : 0;
    }
    const auto reply = co_await parts_.pool.run_sections(std::move(batch));
    if (!reply) co_return false;
    for (std::size_t at = begin; at < end; ++at) {
      const auto [i, j] = asked[at];
      if (failures[i]) continue;
      Check& check = candidates[i].checks[j];
      const postgres::Result<postgres::Rows>& rows = (*reply)[place_of[at - begin]];
      if (rows) {
        check.conditions = read_conditions(*rows);
        continue;
      }
      const postgres::PgError& error = rows.error();
      failures[i] = {.is_of_the_database = !is_of_the_statement(error),
                     .text = exception_text(*candidates[i].requests[check.place], error.sqlstate, error.message)};
    }
    begin = end;
  }
  co_return true;
}

// Equal lists are one, in order and without repetitions. Null: all columns.
std::shared_ptr<const std::vector<std::string>> ChangeFeed::selection(
    const std::optional<std::vector<std::string>>& columns) {
  if (!columns) return nullptr;
  std::vector<std::string> list = *columns;
  std::ranges::sort(list);
  list.erase(std::ranges::unique(list).begin(), list.end());
  if (selections_.size() > 2 * subscribers_.size() + 64)
    std::erase_if(selections_, [](const auto& entry) { return entry.second.expired(); });
  auto& known = selections_[list];
  if (auto there = known.lock()) return there;
  auto made = std::make_shared<const std::vector<std::string>>(std::move(list));
  known = made;
  return made;
}

// The elements of the question before end at the moment at which these begin.
void ChangeFeed::serve_now(Subscriber& subscriber, const Candidate& candidate) {
  drop_elements(subscriber);
  const std::shared_ptr<const Viewer> viewer = viewer_of(subscriber.question->token->claims);
  std::vector<Handle> handle_of(subscriber.requests.size());
  std::map<const std::vector<std::string>*, std::size_t> selected;
  for (std::size_t place = 0; place < subscriber.requests.size(); ++place) {
    const Handle handle = handle_of[place] = take_handle();
    elements_[handle] = {.owner = candidate.id,
                         .question = subscriber.question,
                         .viewer = viewer,
                         .request = subscriber.requests[place],
                         .place = static_cast<std::uint32_t>(place),
                         .entry_id = subscriber.question->entries[place].id,
                         .columns = selection(subscriber.requests[place]->columns),
                         .tables = {}};
    // The place of the first that selects the same.
    const auto [first, is_new] = selected.try_emplace(elements_[handle].columns.get(), selected.size());
    elements_[handle].selection = elements_[handle].columns ? static_cast<std::uint32_t>(first->second) + 1 : 0;
    subscriber.elements.push_back(handle);
  }
  parts_.counters.subscriptions.add(subscriber.elements.size());
  meters_.subscriptions.add(subscriber.elements.size());
  for (const Check& check : candidate.checks)
    watch(handle_of[check.place], check.table, subscriber.requests[check.place]->action, check.conditions);
  subscriber.stage = Stage::kServed;
  tell(subscriber, {ChangesNotice::Status::kOk, std::string(kSubscribed)});
}

// --- What is watched

ChangeFeed::Handle ChangeFeed::take_handle() {
  if (free_.empty()) {
    elements_.emplace_back();
    return static_cast<Handle>(elements_.size() - 1);
  }
  const Handle handle = free_.back();
  free_.pop_back();
  return handle;
}

void ChangeFeed::drop_elements(Subscriber& subscriber) {
  for (const Handle handle : subscriber.elements) {
    for (const Oid table : std::exchange(elements_[handle].tables, {})) unwatch(handle, table);
    // Rows that are being worked off were matched with them: they are still told by them.
    if (is_working_) {
      retired_.push_back(handle);
    } else {
      elements_[handle] = {};
      free_.push_back(handle);
    }
  }
  parts_.counters.subscriptions.subtract(subscriber.elements.size());
  meters_.subscriptions.subtract(subscriber.elements.size());
  subscriber.elements.clear();
}

void ChangeFeed::watch(Handle handle, Oid table, std::optional<changes::Action> action,
                       std::vector<changes::Condition> conditions) {
  const CatalogTable* const facts = catalog_.find(table);
  if (facts == nullptr) return;  // it is gone meanwhile
  Watched& watched = watched_[table];
  if (!watched.index) {
    watched.table = facts->table;
    watched.index =
        std::make_unique<changes::SubscriptionIndex>(facts->table, catalog_.types(), *text_rules_, hash_key_);
    rows_.bind(facts->table);
    unwanted_.erase(table);
  }
  watched.index->add(handle, action, conditions);
  watched.wanted.emplace(handle, Wanted{action, std::move(conditions)});
  ++watched.roles[elements_[handle].viewer->role];
  elements_[handle].tables.push_back(table);
  ++watched_count_;
}

void ChangeFeed::unwatch(Handle handle, Oid table) {
  const auto found = watched_.find(table);
  if (found == watched_.end() || found->second.wanted.erase(handle) == 0) return;
  Watched& watched = found->second;
  watched.index->remove(handle);
  --watched_count_;
  const auto role = watched.roles.find(elements_[handle].viewer->role);
  if (--role->second == 0) watched.roles.erase(role);
  if (!watched.wanted.empty()) return;
  watched_.erase(found);
  rows_.unbind(table);
  unwanted_.insert(table);
}

// It is not published any more, or not there. Where it is published again its rows say so, so they are not left out.
void ChangeFeed::forget_table(Oid table) {
  const auto found = watched_.find(table);
  if (found == watched_.end()) return;
  std::vector<Handle> handles;
  for (const auto& [handle, wanted] : found->second.wanted) handles.push_back(handle);
  for (const Handle handle : handles) {
    std::erase(elements_[handle].tables, table);
    unwatch(handle, table);
  }
  unwanted_.erase(table);
  catalog_.forget(table);
  for (const Handle handle : handles) {
    if (elements_[handle].tables.empty()) bare_.insert(elements_[handle].owner);
  }
  if (!bare_.empty()) look_again();
}

void ChangeFeed::look_again() {
  look_at_ = parts_.clock.now();
  changed_.set();
}

// The table is not what it was. Conditions on columns that have gone match nothing from now on.
void ChangeFeed::rebuild(Oid table) {
  const auto found = watched_.find(table);
  const CatalogTable* const facts = catalog_.find(table);
  if (found == watched_.end()) return;
  if (facts == nullptr) return forget_table(table);
  Watched& watched = found->second;
  watched.table = facts->table;
  watched.index = std::make_unique<changes::SubscriptionIndex>(facts->table, catalog_.types(), *text_rules_, hash_key_);
  for (const auto& [handle, wanted] : watched.wanted) {
    watched.index->add(handle, wanted.action, wanted.conditions);
    for (const changes::Condition& condition : wanted.conditions) {
      if (facts->table->find(condition.filter.column)) continue;
      log_sometimes(LogLevel::kWarning, "RealtimeDisabledForConfiguration",
                    "a filter on the column " + condition.filter.column + " of " + facts->sql.name +
                        ", which has gone, matches nothing any more");
    }
  }
  rows_.bind(facts->table);
}

std::vector<PublishedTable> ChangeFeed::note_published(const std::vector<PublishedTable>& published) {
  std::vector<PublishedTable> fresh;
  std::unordered_set<Oid> there;
  for (const PublishedTable& table : published) {
    there.insert(table.oid);
    if (!published_.contains(table.oid)) fresh.push_back(table);
  }
  published_ = there;
  const Time now = parts_.clock.now();
  std::erase_if(missing_, [&](const auto& one) { return there.contains(one.first) || !watched_.contains(one.first); });
  std::vector<Oid> gone;
  for (const auto& [oid, watched] : watched_) {
    if (there.contains(oid)) continue;
    const Time since = missing_.try_emplace(oid, now).first->second;
    if (!stream_ || now - since >= kRowsMayCome) gone.push_back(oid);
  }
  for (const Oid oid : gone) {
    missing_.erase(oid);
    forget_table(oid);
  }
  if (!missing_.empty()) look_at_ = now + kRowsMayCome;
  return fresh;
}

// Tables that were not known to be published, for those who named them by a pattern. False: the database did not
// answer.
postgres::Task<bool> ChangeFeed::extend(std::vector<PublishedTable> tables) {
  std::vector<Candidate> candidates;
  if (tables.empty()) co_return true;
  for (const auto& [id, subscriber] : subscribers_) {
    if (subscriber.stage != Stage::kServed) continue;
    for (const Handle handle : subscriber.elements) {
      const Element& element = elements_[handle];
      for (const PublishedTable& table : tables) {
        if (!names(*element.request, table) || std::ranges::find(element.tables, table.oid) != element.tables.end())
          continue;
        const bool has_conditions = !element.request->filters.empty() || element.request->columns;
        // Each by itself: that one does not fit the table must not keep the others from it.
        Candidate candidate{.id = id, .question = subscriber.question, .requests = subscriber.requests, .checks = {}};
        candidate.checks.push_back(
            {.place = element.place, .table = table.oid, .conditions = {}, .is_asked = has_conditions});
        candidates.push_back(std::move(candidate));
      }
    }
  }
  if (candidates.empty()) co_return true;
  if (watched_count_ + candidates.size() > parts_.config.watched_max) {
    log_sometimes(LogLevel::kError, "UnableToSubscribeToPostgres",
                  "too many subscriptions to row changes are served already: a new table is not told of");
    co_return true;
  }
  const auto loaded = co_await load_tables(candidates);
  if (!loaded) co_return false;
  for (std::size_t begin = 0; begin < candidates.size(); begin += kChecksPerTurn) {
    const auto end =
        candidates.begin() + static_cast<std::ptrdiff_t>(std::min(begin + kChecksPerTurn, candidates.size()));
    std::vector<Candidate> some(std::make_move_iterator(candidates.begin() + static_cast<std::ptrdiff_t>(begin)),
                                std::make_move_iterator(end));
    std::vector<std::optional<Failure>> failures(some.size());
    if (!co_await accept(some, failures)) co_return false;
    for (std::size_t i = 0; i < some.size(); ++i) {
      const auto found = subscribers_.find(some[i].id);
      if (found == subscribers_.end() || found->second.question != some[i].question ||
          found->second.stage != Stage::kServed)
        continue;
      const Check& check = some[i].checks.front();
      const Handle handle = found->second.elements[check.place];
      if (failures[i] && failures[i]->is_of_the_database) {
        published_.erase(check.table);
        look_at_ = parts_.clock.now() + parts_.config.retry;
        changed_.set();
      } else if (failures[i]) {
        log_sometimes(LogLevel::kWarning, "RealtimeDisabledForConfiguration", failures[i]->text);
      } else if (std::ranges::find(elements_[handle].tables, check.table) == elements_[handle].tables.end()) {
        watch(handle, check.table, elements_[handle].request->action, check.conditions);
      }
    }
  }
  co_return true;
}

}  // namespace rt::database
