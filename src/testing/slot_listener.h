// A stream of two tables on a real Postgres, and a reader that notes what it is told. Who includes this includes
// <boost/asio/awaitable.hpp> before.
#pragma once

#include <doctest/doctest.h>

#include <csignal>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "protocol/pgoutput/messages.h"
#include "services/database/slot_stream.h"
#include "testing/feed_listener.h"

namespace rt::database {

// Rows are texts: `I one 1` is a new row of the table one whose first column has 1.
class SlotRecorder final : public SlotReader {
 public:
  struct Row {
    std::string text;
    Transaction transaction;
  };

  explicit SlotRecorder(boost::asio::io_context& io) : let_go(io) {}

  postgres::Task<std::optional<StreamEnd>> prepare(Query query) override {
    const auto asked = co_await query("SELECT 1");
    REQUIRE(asked);
    co_return std::exchange(refusal, std::nullopt);
  }
  void on_slot(Continuity continuity) override {
    continuities.push_back(continuity);
    if (on_slot_once) std::exchange(on_slot_once, nullptr)();
  }
  bool has_listeners() override { return is_listened_to; }
  postgres::Task<postgres::Result<void>> on_new_slot(Query query) override {
    const auto counted = co_await query("SELECT count(*) FROM public.one");
    if (!counted) co_return tl::make_unexpected(counted.error());
    rows_before = std::string(counted->text(0, 0).value_or(""));
    co_return postgres::Result<void>{};
  }
  void begin() override { tables_.clear(); }
  std::optional<StreamEnd> take(const Transaction& transaction, std::string_view bytes) override {
    const auto message = parser_.parse(bytes);
    REQUIRE(message);
    if (const auto* relation = std::get_if<pgoutput::Relation>(&*message)) {
      tables_[relation->id] = relation->name;
    } else if (const auto* insert = std::get_if<pgoutput::Insert>(&*message)) {
      return note("I", insert->relation, insert->row, transaction);
    } else if (const auto* update = std::get_if<pgoutput::Update>(&*message)) {
      return note("U", update->relation, update->row, transaction);
    } else if (const auto* deletion = std::get_if<pgoutput::Delete>(&*message)) {
      return note("D", deletion->relation, deletion->before, transaction);
    } else {
      others += bytes.front();
    }
    return std::nullopt;
  }
  bool may_take() override { return taken.size() < taken_max; }
  postgres::Task<bool> work() override {
    ++works;
    if (told.size() + taken.size() >= holds_from) {
      is_held = true;
      while (told.size() + taken.size() >= holds_from) co_await let_go.wait_until(Time::max());
      is_held = false;
    }
    if (gives_up && !taken.empty()) {
      gives_up = false;
      given_up = std::exchange(taken, {});
      co_return false;
    }
    if (!taken.empty()) batches.push_back(taken.size());
    std::ranges::move(taken, std::back_inserter(told));
    taken.clear();
    co_return true;
  }
  void on_streaming(bool is) override {
    is_streaming = is;
    if (!is) told_at_end = told.size();
  }

  void go_on() {
    holds_from = kNever;
    let_go.set();
  }

  static constexpr std::size_t kNever = ~std::size_t{0};
  std::optional<StreamEnd> refusal{};          // of the next session
  std::map<std::string, StreamEnd> refused{};  // rows, once each
  std::size_t taken_max = kNever;              // before a work
  std::size_t holds_from = kNever;             // work does not end when there are as many rows
  bool gives_up = false;                       // the next work that has something
  std::function<void()> on_slot_once{};
  bool is_listened_to = true;

  std::vector<Continuity> continuities{};
  std::string rows_before{};  // of the table one when the slot was made
  std::vector<Row> taken{};
  std::vector<Row> told{};
  std::vector<std::size_t> batches{};  // how many of them at a time
  std::vector<Row> given_up{};
  std::string others{};  // kinds of messages
  std::size_t told_at_end = 0;
  int works = 0;
  bool is_held = false;
  bool is_streaming = false;

 private:
  std::optional<StreamEnd> note(const char* kind, std::uint32_t table, pgoutput::Row row,
                                const Transaction& transaction) {
    std::string text = kind + (" " + tables_.at(table)) + " " + std::string(row[0].bytes);
    if (const auto found = refused.find(text); found != refused.end()) return refused.extract(found).mapped();
    taken.push_back({std::move(text), transaction});
    return std::nullopt;
  }

  pgoutput::Parser parser_;
  std::map<std::uint32_t, std::string> tables_;
  postgres::Event let_go;
};

struct SlotListener {
  static constexpr const char* kPublication = "Our \"tables\", all";

  static SlotStreamConfig quick() {
    return {.slot_mode = SlotMode::kDurable,
            .resume_window = milliseconds(0),
            .resume_grace = milliseconds(0),
            .status_interval = milliseconds(200),
            .retry = {milliseconds(20), milliseconds(100)}};
  }

  explicit SlotListener(SlotStreamConfig settings = quick()) : config(std::move(settings)) {
    clean();
    cluster().sql(
        "CREATE TABLE public.one (id int PRIMARY KEY, x text); CREATE TABLE public.two (name text PRIMARY KEY); CREATE "
        "PUBLICATION \"Our \"\"tables\"\", all\" FOR TABLE public.one, public.two");
    begin();
  }
  ~SlotListener() {
    if (stream) end(SlotStream::Slot::kIsDropped);
    clean();
  }
  static void clean() {
    cluster().sql(
        "DROP PUBLICATION IF EXISTS \"Our \"\"tables\"\", all\"; DROP TABLE IF EXISTS public.one, public.two");
  }

  void begin() {
    const SlotStream::Parts parts{.surroundings = loop.surroundings,
                                  .clock = clock,
                                  .random = random,
                                  .log = log,
                                  .config = config,
                                  .counters = counters};
    const SlotStreamNames names{.slot = "realtime_test_slot",
                                .publication = kPublication,
                                .application = "test_stream",
                                .what = "rows",
                                .not_started = "NotStarted",
                                .down = "Down",
                                .timed_out = "TimedOut",
                                .crowded = "Crowded",
                                .lag_too_high = "LagTooHigh",
                                .being_used = "BeingUsed"};
    TenantSettings settings;
    settings.connection = PostgresLoop::settings();
    loop.on_loop([&] { stream = std::make_unique<SlotStream>(parts, "acme", settings, names, memory, reader); });
  }
  void end(SlotStream::Slot slot = SlotStream::Slot::kStays) {
    reader.go_on();
    loop.run(stream->stop(slot, std::make_shared<postgres::Cancellation>()));
    stream.reset();
  }
  void until_streaming() {
    loop.until([&] { return reader.is_streaming; });
  }
  std::vector<std::string> told() const {
    std::vector<std::string> out;
    for (const SlotRecorder::Row& row : reader.told) out.push_back(row.text);
    return out;
  }
  void until_told(const std::vector<std::string>& what) {
    loop.until([&] { return reader.told.size() >= what.size(); });
    CHECK(told() == what);
  }
  static void insert(int id) { cluster().sql("INSERT INTO public.one VALUES (" + std::to_string(id) + ")"); }
  static int walsender() {
    return std::stoi(cluster().sql("SELECT pid FROM pg_stat_replication WHERE application_name = 'test_stream'"));
  }
  // Our side knows nothing of it yet.
  static void kill_walsender() {
    const std::string pid = std::to_string(walsender());
    cluster().sql("SELECT pg_terminate_backend(" + pid + ", 10000)");
  }
  void lose_stream() {
    const auto lost = counters.lost.value();
    kill_walsender();
    loop.until([&] { return counters.lost.value() > lost; });
  }
  // Whether the server may forget all that is in its log now.
  static bool is_confirmed(const std::string& position) {
    return cluster().sql("SELECT bool_and(confirmed_flush_lsn >= '" + position + "') FROM pg_replication_slots") == "t";
  }
  static std::string position() { return cluster().sql("SELECT pg_current_wal_lsn()"); }

  PostgresLoop loop;
  SystemClock clock;
  SystemRandom random;
  Lines log;
  const SlotStreamConfig config;
  SlotStreamCounters counters;
  std::shared_ptr<SlotMemory> memory = std::make_shared<SlotMemory>();
  SlotRecorder reader{loop.io};
  std::unique_ptr<SlotStream> stream;
};

// `I one 1` to `I one last`.
inline std::vector<std::string> rows_to(int last) {
  std::vector<std::string> out;
  for (int id = 1; id <= last; ++id) out.push_back("I one " + std::to_string(id));
  return out;
}

}  // namespace rt::database
