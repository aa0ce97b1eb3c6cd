// The row changes of a tenant's database: who wants which, and what they are told.
//
// There is a stream while somebody wants changes and the publication has tables. A channel's subscriptions are accepted
// by the database, all of them or none, and then found by what they match (domain/changes/matching.h). The rows of the
// stream are worked off in batches, in the order of their commits: matched, looked at through the eyes of those who
// would be told (row_visibility.h), rendered once for all who may see the same, and handed on.
//
// What cannot be told now because the database does not answer is not let go of: it is read again.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/clock.h"
#include "base/counter.h"
#include "base/histogram.h"
#include "base/log.h"
#include "base/random.h"
#include "domain/changes/matching.h"
#include "domain/changes/request.h"
#include "domain/changes/row_reader.h"
#include "domain/changes/telling.h"
#include "io/postgres/pool.h"
#include "model/changes.h"
#include "services/database/change_catalog.h"
#include "services/database/change_desk.h"
#include "services/database/recent_failures.h"
#include "services/database/row_visibility.h"
#include "services/database/slot_stream.h"
#include "services/database/workers_room.h"

namespace rt::database {

struct ChangeFeedConfig {
  SlotStreamConfig stream;
  VisibilityConfig visibility;
  std::chrono::milliseconds idle_max{600'000};  // without subscriptions; then the stream ends and its slot is dropped
  std::chrono::milliseconds recheck{60'000};    // of the publication, while a subscription matches no table
  // How long a channel waits that could not be served, and as much again at most.
  std::chrono::milliseconds retry{5'000};
  std::chrono::milliseconds subscribe_timeout{10'000};  // of what the database has to say to one element
  std::chrono::milliseconds filter_timeout{2'000};      // of conditions that only the database can decide
  std::chrono::milliseconds answer_within{60'000};      // of questions about rows, before the stream begins anew
  std::size_t rows_per_batch = 1'000;
  std::size_t bytes_per_batch = std::size_t{1} << 20;
  std::size_t watched_max = 1'000'000;  // elements, each for every table that it matches
};

// Where it goes, and what is known there. All of it thread-safe; nothing may be called once the feed has stopped.
struct ChangeSink {
  std::function<void(ChangeBatch)> publish;
  std::function<void(ChangesId, ChangesNotice)> tell;
  std::function<bool(std::string_view tenant)> are_over_limit;
  // False: too much is on its way. `then` is called, on any thread, once it is less, or never.
  std::function<bool()> may_publish;
  std::function<void(std::function<void()> then)> when_may_publish;
};

// Written by the thread of the databases, read by anyone.
struct ChangeFeedCounters {
  SlotStreamCounters streams;
  Counter subscriptions;         // elements that are served, now
  Counter refused;               // channels whose elements were not accepted
  Counter timed_out;             // channels that could not be served in time
  Counter told;                  // rows for which somebody was told something
  Counter skipped_for_rate;      // rows
  Counter visibility_questions;  // each for a table and those who are the same to its policies
  Counter visibility_errors;
  Counter filter_questions;  // conditions that only the database could decide
};

// Milliseconds that a batch of rows took, from the log to the workers.
inline constexpr std::array<std::int64_t, 11> kChangeBatchBounds{250,    500,     1'000,   3'000,     5'000,    10'000,
                                                                 25'000, 100'000, 500'000, 1'000'000, 3'000'000};
// Of one tenant, likewise.
struct ChangeMeters {
  Histogram<kChangeBatchBounds> batches;
  Counter subscriptions;        // elements that are served, now
  Counter told;                 // rows
  Counter skipped_for_rate;     // rows
  Counter failed_preparations;  // of a slot
  Counter failed_streams;
  Counter stopped;  // streams, for which nobody had a use any more
};

class ChangeFeed final : private SlotReader {  // loop-bound
 public:
  struct Parts {
    postgres::Surroundings surroundings;
    const Clock& clock;
    Random& random;
    Log& log;
    const ChangeFeedConfig& config;
    const ChangeSink& sink;
    ChangeFeedCounters& counters;
    postgres::Pool& pool;   // of the tenant: subscriptions are accepted over it
    std::string superuser;  // name of the login where it is one, else empty
  };

  // Serves those of the desk, and all who come. What `parts` refers to, and the desk, outlive it.
  ChangeFeed(const Parts& parts, std::string tenant, TenantSettings settings, ChangeDesk& desk,
             std::shared_ptr<SlotMemory> memory, ChangeMeters& meters);
  ~ChangeFeed() override;
  ChangeFeed(const ChangeFeed&) = delete;
  ChangeFeed& operator=(const ChangeFeed&) = delete;

  // Somebody is new at the desk, wants something else, or is gone.
  void subscribe(ChangesId id);
  void unsubscribe(ChangesId id);

  // Nobody is told anything any more. Only stop() may be called from then on.
  void close();
  // kIsDropped: a durable slot is not wanted any more; a cancellation lets it stay.
  postgres::Task<void> stop(SlotStream::Slot slot, std::shared_ptr<postgres::Cancellation> cancellation);

 private:
  using Handle = changes::Handle;
  using Oid = changes::Oid;

  // What one element of a channel wants, as long as it is served.
  struct Element {
    ChangesId owner;
    std::shared_ptr<const ChangesQuestion> question;  // null: the handle is free
    std::shared_ptr<const Viewer> viewer;
    std::shared_ptr<const changes::Request> request;
    std::uint32_t place = 0;
    std::uint32_t entry_id = 0;
    std::uint32_t selection = 0;
    std::shared_ptr<const std::vector<std::string>> columns;  // null: all
    std::vector<Oid> tables;
  };
  enum class Stage : std::uint8_t {
    kWaiting,  // to be served
    kServed,
    kRefused,    // for good
    kUnmatched,  // no table is published that it names
    kLater,      // could not be served
  };
  struct Subscriber {
    Stage stage = Stage::kWaiting;
    std::shared_ptr<const ChangesQuestion> question;
    std::vector<std::shared_ptr<const changes::Request>> requests;
    std::vector<Handle> elements;  // of this question or, while it waits, of the one before
    std::string last_error;        // that it was told; empty: it was told something else since
  };
  struct Wanted {
    std::optional<changes::Action> action;
    std::vector<changes::Condition> conditions;
  };
  // A table that somebody wants changes of.
  struct Watched {
    std::shared_ptr<const changes::Table> table;
    std::unique_ptr<changes::SubscriptionIndex> index;
    std::unordered_map<Handle, Wanted> wanted;
    std::map<std::string, std::size_t> roles;  // of those, how many
  };
  struct IdHash {
    std::size_t operator()(const ChangesId& id) const { return id.number * 0x9e3779b97f4a7c15ULL + id.worker; }
  };
  using Subscribers = std::unordered_map<ChangesId, Subscriber, IdHash>;

  // --- change_feed.cc: the life of the stream
  postgres::Task<void> run();
  postgres::Task<void> end_stream();
  void begin_stream();
  Time next_due() const;
  void log(LogLevel level, std::string_view code, const std::string& text) const;
  void log_sometimes(LogLevel level, std::string_view code, const std::string& text);

  postgres::Task<std::optional<StreamEnd>> prepare(Query query) override;
  void on_slot(Continuity continuity) override;
  bool has_listeners() override;
  postgres::Task<postgres::Result<void>> on_new_slot(Query query) override;
  void begin() override;
  std::optional<StreamEnd> take(const Transaction& transaction, std::string_view message) override;
  bool may_take() override;
  postgres::Task<bool> work() override;
  void on_streaming(bool is_streaming) override;
  void on_end(const StreamEnd& end) override;

  // --- change_subscribing.cc
  struct Check {  // of an element by one table
    std::size_t place = 0;
    Oid table = 0;
    std::vector<changes::Condition> conditions;
    bool is_asked = true;  // else nothing of it is for the database to accept
  };
  struct Candidate {
    ChangesId id;
    std::shared_ptr<const ChangesQuestion> question;
    std::vector<std::shared_ptr<const changes::Request>> requests;
    std::vector<Check> checks;
  };
  // What several channels want is asked for together.
  struct Failure {
    bool is_of_the_database = false;  // it may work later
    std::string text;                 // of the notice
  };
  void take_question(ChangesId id, std::shared_ptr<const ChangesQuestion> question);
  void forget(ChangesId id);
  postgres::Task<void> serve();
  postgres::Task<void> serve_some(const std::vector<PublishedTable>& published, std::vector<ChangesId> ids);
  postgres::Task<bool> accept(std::vector<Candidate>& candidates, std::vector<std::optional<Failure>>& failures);
  postgres::Task<postgres::Result<void>> load_tables(const std::vector<Candidate>& candidates);
  void serve_now(Subscriber& subscriber, const Candidate& candidate);
  // Returns those that are new.
  std::vector<PublishedTable> note_published(const std::vector<PublishedTable>& published);
  void look_again();
  postgres::Task<bool> extend(std::vector<PublishedTable> tables);
  void fail_all(Time now, const std::string& why);
  void fail_later(Subscriber& subscriber, Time now);
  void refuse(Subscriber& subscriber, Stage stage, std::string text);
  void tell(Subscriber& subscriber, ChangesNotice notice);
  void drop_elements(Subscriber& subscriber);
  Handle take_handle();
  void watch(Handle handle, Oid table, std::optional<changes::Action> action,
             std::vector<changes::Condition> conditions);
  void unwatch(Handle handle, Oid table);
  void forget_table(Oid table);
  void rebuild(Oid table);
  std::shared_ptr<const Viewer> viewer_of(const Claims& claims);
  std::shared_ptr<const std::vector<std::string>> selection(const std::optional<std::vector<std::string>>& columns);

  // --- change_telling.cc
  struct Raw {
    Transaction transaction;
    std::size_t begin = 0;
    std::size_t size = 0;
  };
  struct Telling;  // of some rows
  postgres::Task<bool> process();
  postgres::Task<bool> meet(Oid table);
  postgres::Task<bool> refresh();
  // kAgain: tables are not what they were, so rows have to be read again, from again_at_ on.
  enum class Told : std::uint8_t { kAll, kAgain, kGivenUp };
  postgres::Task<bool> describe(const Raw& raw);
  std::optional<changes::Change> read(std::size_t place);
  postgres::Task<Told> tell_rows(std::vector<changes::Change> rows);
  postgres::Task<Told> tell_some(std::vector<changes::Change>& rows);
  postgres::Task<Told> make_fresh(const std::vector<changes::Change>& rows, std::size_t first);
  bool is_outdated(const changes::Change& row) const;
  postgres::Task<bool> generate(std::vector<changes::Change>& rows);
  // Answers of one statement about several values, or none; they are asked in parts and, where a part fails, one by
  // one.
  using AskParts = std::function<postgres::Batch(std::size_t begin, std::size_t end)>;
  using TakeParts = std::function<void(const postgres::Rows& rows, std::size_t begin)>;
  postgres::Task<bool> ask_in_parts(const std::vector<std::size_t>& bytes, AskParts ask, TakeParts take,
                                    std::string what);
  std::vector<changes::Change> match(Telling& telling);
  postgres::Task<bool> decide(Telling& telling);
  void choose(Telling& telling);
  postgres::Task<bool> look(Telling& telling);
  postgres::Task<bool> convert(Telling& telling);
  postgres::Task<Told> hand_on(Telling& telling);
  void render(Telling& telling, std::size_t row, std::vector<ChangeMessage>& out);
  // False: it is to be given up. The question is asked again as long as the database cannot be reached.
  using Ask = std::function<postgres::Task<postgres::Result<void>>()>;
  postgres::Task<bool> until_answered(Ask ask);

  const Parts parts_;
  const std::string tenant_;
  const TenantSettings settings_;
  ChangeDesk& desk_;
  const std::shared_ptr<SlotMemory> memory_;
  ChangeMeters& meters_;
  bool is_stopping_ = false;
  postgres::Event changed_;  // for run()
  postgres::Event stopped_;  // for work()
  Time idle_since_{};
  bool is_publication_gone_ = false;  // the stream found none, and has ended
  Time recheck_at_{};                 // while somebody is unmatched; 0: nobody is
  Time look_at_{};                    // at the publication, for another reason; 0: there is none
  std::chrono::milliseconds recheck_pause_{};
  std::optional<changes::TextRules> text_rules_;
  const HashKey hash_key_;
  RecentFailures time_outs_;
  std::unique_ptr<postgres::Pool> pool_;  // one connection: what is asked about rows is asked in order
  ChangeCatalog catalog_;

  const SlotStreamConfig stream_config_;

  Subscribers subscribers_;
  std::deque<ChangesId> waiting_;         // some may have gone
  std::multimap<Time, ChangesId> later_;  // likewise
  std::set<ChangesId> unmatched_;
  std::set<ChangesId> bare_;           // served, but for an element that has lost all its tables
  std::unordered_set<Oid> published_;  // when it was looked at last
  std::map<Oid, Time> missing_;        // watched and not published, since when
  std::vector<Element> elements_;      // by handle
  std::vector<Handle> free_;
  std::vector<Handle> retired_;  // not served any more, and free once the batch at hand is told
  bool is_working_ = false;
  std::size_t watched_count_ = 0;
  std::unordered_map<Oid, Watched> watched_;
  std::map<std::pair<std::string, std::string>, std::weak_ptr<const Viewer>> viewers_;
  std::map<std::vector<std::string>, std::weak_ptr<const std::vector<std::string>>> selections_;

  // --- Of the stream
  std::unique_ptr<SlotStream> stream_;  // null: there is none
  const std::shared_ptr<postgres::Cancellation> ending_ = std::make_shared<postgres::Cancellation>();
  bool has_slot_ = false;      // what is committed from now on will be told
  bool is_announced_ = false;  // those who are served know of this slot
  std::string_view raw_bytes(const Raw& raw) const;
  std::string bytes_;  // of the batch
  std::vector<Raw> batch_;
  std::unordered_set<Oid> unwanted_;  // tables whose rows are nobody's
  changes::RowReader rows_;
  pgoutput::Parser parser_;
  Time refreshed_at_{};  // what the catalog says of its tables
  std::size_t again_at_ = 0;
  std::deque<std::string> made_;        // texts that rows of the batch refer to
  std::map<std::string, Time> logged_;  // what is said of many rows, and when it was

  WorkersRoom room_;
  postgres::TaskGroup group_;
};

}  // namespace rt::database
