// From the rows of the log to the messages of clients (postgres-changes.md 7).
//
// One batch after the other: what filters only the database can decide, who may see which row, and what only the
// database can write as JSON is asked for all rows of a batch at once. Nothing is asked where nobody would be told.
#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <utility>

#include "domain/changes/rendering.h"
#include "protocol/pgoutput/reader.h"
#include "services/database/asking_as.h"
#include "services/database/change_feed.h"
#include "services/database/filter_questions.h"
#include "services/database/visibility_looks.h"

namespace rt::database {
namespace {

using changes::Action;
using changes::Change;
using changes::Oid;
using changes::RenderedChange;
using changes::Table;
using changes::Value;
using changes::Values;

constexpr std::chrono::milliseconds kAgainMin{50};
constexpr std::chrono::milliseconds kAgainMax{1'000};
// What is gathered before it goes to the workers.
constexpr std::size_t kHandedOnBytes = std::size_t{1} << 20;
constexpr std::chrono::seconds kConversionTimeout{10};
constexpr std::size_t kPartBytes = std::size_t{2} << 20;  // of values that are asked about together
// What may be looked at together: subscriptions that rows are for, and questions that only the database can answer.
constexpr std::size_t kMatchesMax = 100'000;
constexpr std::size_t kQuestionsMax = 20'000;

bool is_text(const Value& value) { return value.kind == Value::Kind::kText || value.kind == Value::Kind::kFromBefore; }

bool is_of_the_server(const changes::TableName& table) {
  return table.schema == "realtime" && (table.name == "subscription" || table.name == "schema_migrations");
}

// Of a description, or of a row.
Oid table_of(std::string_view message) {
  pgoutput::Reader in(message);
  in.integer<std::uint8_t>();
  return in.integer<std::uint32_t>();
}

bool reads_key(const Table& table, const std::vector<bool>& readable) {
  return std::ranges::all_of(table.primary_key,
                             [&](std::size_t place) { return place < readable.size() && readable[place]; });
}

postgres::Batch batch_of(postgres::Statement statement) {
  postgres::Batch batch;
  batch.statements = {std::move(statement)};
  batch.ends = postgres::Ends::kRolledBack;
  batch.statement_timeout = kConversionTimeout;
  batch.limits = {.rows = 1'000'000, .bytes = std::size_t{512} << 20};
  return batch;
}

std::string arrays(std::size_t count) {
  std::string out = "ROWS FROM (";
  for (std::size_t i = 1; i <= count; ++i)
    out.append(i > 1 ? ", " : "").append("pg_catalog.unnest($" + std::to_string(i) + "::pg_catalog.text[])");
  return out + ") WITH ORDINALITY";
}

// Generated columns are not in the log, so their expressions are evaluated over what is.
struct Generation {
  const Table* table = nullptr;
  std::vector<std::size_t> generated;  // places
  std::vector<std::size_t> inputs;     // likewise
  std::vector<Change*> rows;
};

// Of rows from `begin` on. As the owner of the table: what the expressions call may be anybody's.
postgres::Batch generation_batch(const Generation& generation, const TableSql& sql, std::size_t begin,
                                 std::size_t end) {
  const Table& table = *generation.table;
  std::string select;
  for (const std::size_t place : generation.generated)
    select.append(select.empty() ? "" : ", ").append(table.columns[place].expression);
  std::string names;
  std::string inner;
  postgres::Statement statement{.sql = {}, .plan = postgres::Plan::kOnce};
  for (std::size_t i = 0; i < generation.inputs.size(); ++i) {
    const std::size_t place = generation.inputs[i];
    const std::string number = std::to_string(i + 1);
    names += "k" + number + ", ";
    inner +=
        (i > 0 ? ", k.k" : "k.k") + number + "::" + sql.types[place] + " AS " + identifier(table.columns[place].name);
    ArrayText values;
    for (std::size_t row = begin; row < end; ++row) {
      const Value& value = generation.rows[row]->row[place];
      is_text(value) ? values.add(value.text) : values.add_null();
    }
    statement.parameters.emplace_back(values.take());
  }
  if (generation.inputs.empty()) {
    // Of constants alone: one answer for each row all the same.
    ArrayText values;
    for (std::size_t row = begin; row < end; ++row) values.add_null();
    statement.parameters.emplace_back(values.take());
    names = "k1, ";
    inner = "k.k1 AS k1";
  }
  statement.sql = "SELECT " + select + " FROM " + arrays(statement.parameters.size()) + " AS k (" + names +
                  "n), LATERAL (SELECT " + inner + ") AS r ORDER BY k.n";
  postgres::Batch batch = batch_of(std::move(statement));
  batch.statements.insert(batch.statements.begin(),
                          {.sql = "SET LOCAL search_path TO pg_catalog, pg_temp", .plan = postgres::Plan::kOnce});
  return batch;
}

postgres::Statement become_owner(const std::string& owner) {
  return {.sql = "SELECT pg_catalog.set_config('role', $1, true)", .parameters = {owner}};
}

// Of the connection or the server: the same question may be answered later.
bool is_passing(const postgres::PgError& error) {
  using postgres::ErrorClass;
  if (error.kind == ErrorClass::kServer || error.kind == ErrorClass::kTimeOut) {
    const std::string_view state = error.sqlstate;
    if (state.empty()) return error.kind == ErrorClass::kTimeOut;
    return state.starts_with("57P") || state.starts_with("08") || state == "53300";
  }
  return error.kind != ErrorClass::kResultTooLarge && error.kind != ErrorClass::kRequestTooLarge;
}

}  // namespace

struct ChangeFeed::Telling {
  std::vector<Change> rows;
  changes::Questions questions;
  struct OfRow {
    changes::Matches matches;
    std::vector<Handle> told;          // whose conditions it meets, and who may read its key
    std::vector<Handle> unauthorized;  // who may not
    std::vector<Handle> keyless;       // everybody, where the table has no primary key
    std::optional<std::size_t> look;   // where it has to be looked for
    RenderedChange::Converted row;
    RenderedChange::Converted before;
  };
  std::vector<OfRow> of_rows;  // the same places
  VisibilityLooks looks;
};

// --- A batch

postgres::Task<bool> ChangeFeed::process() {
  if (!co_await refresh()) co_return false;
  std::vector<Change> rows;
  for (std::size_t at = 0;;) {
    const bool is_end = at == batch_.size();
    const bool is_description = !is_end && raw_bytes(batch_[at]).front() == 'R';
    const Oid table = is_end ? 0 : table_of(raw_bytes(batch_[at]));
    // Rows of a table that was taken from the publication tell that it is there again.
    const bool is_met = is_end || watched_.contains(table) || unwanted_.contains(table) || rows_.find(table) == nullptr;
    if (!is_end && !is_description && is_met) {
      if (auto row = read(at)) rows.push_back(*std::move(row));
      ++at;
      continue;
    }
    // What came before is of the table as it was.
    const Told told = co_await tell_rows(std::exchange(rows, {}));
    if (told == Told::kGivenUp) co_return false;
    if (told == Told::kAgain) {
      at = again_at_;
    } else if (is_end) {
      break;
    } else if (!(is_description ? co_await describe(batch_[at++]) : co_await meet(table))) {
      co_return false;
    }
  }
  // Its subscribers have to be told.
  const bool is_any_gone = std::ranges::any_of(batch_, [this](const Raw& raw) {
    const Oid table = table_of(raw_bytes(raw));
    return catalog_.is_gone(table) && !missing_.contains(table);
  });
  if (is_any_gone) look_again();
  co_return true;
}

// False: the stream has to begin anew.
postgres::Task<bool> ChangeFeed::describe(const Raw& raw) {
  const auto message = parser_.parse(raw_bytes(raw));
  const auto* const relation = message ? std::get_if<pgoutput::Relation>(&*message) : nullptr;
  const auto is_new = relation != nullptr ? rows_.describe(*relation) : Result<bool>(false);
  if (!message || !is_new) {
    log_sometimes(LogLevel::kError, "UnexpectedMessageReceived",
                  (message ? is_new.error() : message.error()).message + ": the stream is begun anew");
    co_return false;
  }
  const Oid table = table_of(raw_bytes(raw));
  if (*is_new) co_return co_await meet(table);
  if (!watched_.contains(table)) unwanted_.insert(table);
  co_return true;
}

std::optional<Change> ChangeFeed::read(std::size_t place) {
  const Raw& raw = batch_[place];
  const auto message = parser_.parse(raw_bytes(raw));
  auto row = message ? rows_.read(*message) : Result<std::optional<Change>>(tl::make_unexpected(message.error()));
  if (!row) log_sometimes(LogLevel::kError, "UnexpectedMessageReceived", row.error().message);
  if (!row || !*row) return std::nullopt;
  const auto watched = watched_.find((*row)->table->oid);
  if (watched == watched_.end() || !watched->second.index->wants((*row)->action)) return std::nullopt;
  (*row)->committed_micros = raw.transaction.committed_micros;
  (*row)->transaction = raw.transaction.id;
  (*row)->place = place;
  return **std::move(row);
}

std::string_view ChangeFeed::raw_bytes(const Raw& raw) const {
  return std::string_view(bytes_).substr(raw.begin, raw.size);
}

// What holds for the rows of this batch is at most a second old.
postgres::Task<bool> ChangeFeed::refresh() {
  refreshed_at_ = parts_.clock.now();
  std::set<Oid> tables;
  std::set<std::string> roles;
  Oid last = 0;
  for (const Raw& raw : batch_) {
    if (raw_bytes(raw).front() == 'R') continue;
    const Oid table = table_of(raw_bytes(raw));
    if (table == last) continue;
    last = table;
    const auto watched = watched_.find(table);
    if (watched == watched_.end() || !tables.insert(table).second) continue;
    for (const auto& [role, count] : watched->second.roles) roles.insert(role);
  }
  if (tables.empty()) co_return true;
  std::vector<Oid> changed;
  const bool is_answered = co_await until_answered([&]() -> postgres::Task<postgres::Result<void>> {
    auto found = co_await catalog_.refresh({tables.begin(), tables.end()}, roles);
    if (!found) co_return tl::make_unexpected(found.error());
    changed = *std::move(found);
    co_return postgres::Result<void>{};
  });
  for (const Oid table : changed) rebuild(table);
  co_return is_answered;
}

// A table that is described for the first time, or anew.
postgres::Task<bool> ChangeFeed::meet(Oid table) {
  if (is_of_the_server(*rows_.find(table))) {
    unwanted_.insert(table);
    co_return true;
  }
  if (!watched_.contains(table)) {
    const auto& [schema, name] = *rows_.find(table);
    const PublishedTable published{table, schema, name};
    const bool is_answered = co_await until_answered([&]() -> postgres::Task<postgres::Result<void>> {
      if (co_await extend({published})) co_return postgres::Result<void>{};
      co_return postgres::fail(postgres::ErrorClass::kNoConnection, "a new table could not be looked at");
    });
    if (!is_answered) co_return false;
    // Somebody may wait for just this one, or be about to be served.
    if (!unmatched_.empty() || !published_.contains(table)) look_again();
  }
  if (!watched_.contains(table)) {
    unwanted_.insert(table);
    co_return true;
  }
  std::set<std::string> roles;
  for (const auto& [role, count] : watched_.at(table).roles) roles.insert(role);
  const bool is_answered = co_await until_answered([&]() -> postgres::Task<postgres::Result<void>> {
    const auto loaded = co_await catalog_.load({table});
    if (!loaded) co_return loaded;
    const auto rights = co_await catalog_.refresh({table}, roles);
    if (!rights) co_return tl::make_unexpected(rights.error());
    co_return postgres::Result<void>{};
  });
  if (is_answered) rebuild(table);
  co_return is_answered;
}

postgres::Task<bool> ChangeFeed::until_answered(Ask ask) {
  const Time until = parts_.clock.now() + parts_.config.answer_within;
  std::chrono::milliseconds pause = kAgainMin;
  while (true) {
    const auto answered = co_await ask();
    if (answered) co_return true;
    if (is_stopping_ || parts_.clock.now() >= until) co_return false;
    log_sometimes(LogLevel::kError, "PoolingReplicationError",
                  "row changes wait, because the database could not be asked about them: " + answered.error().message);
    if (co_await stopped_.wait_until(parts_.clock.now() + pause)) co_return false;
    pause = std::min(2 * pause, kAgainMax);
  }
}

// --- Its rows

postgres::Task<ChangeFeed::Told> ChangeFeed::tell_rows(std::vector<Change> rows) {
  while (!rows.empty()) {
    const Told told = co_await tell_some(rows);
    if (told != Told::kAll) co_return told;
  }
  co_return Told::kAll;
}

// The first of them, as many as may be looked at together.
postgres::Task<ChangeFeed::Told> ChangeFeed::tell_some(std::vector<Change>& rows) {
  if (parts_.sink.are_over_limit(tenant_)) {
    parts_.counters.skipped_for_rate.add(rows.size());
    meters_.skipped_for_rate.add(rows.size());
    rows.clear();
    co_return Told::kAll;
  }
  if (const Told fresh = co_await make_fresh(rows, 0); fresh != Told::kAll) co_return fresh;
  if (!co_await generate(rows)) co_return Told::kGivenUp;
  Telling telling{.rows = std::exchange(rows, {})};
  rows = match(telling);
  if (!co_await decide(telling)) co_return Told::kGivenUp;
  choose(telling);
  if (!co_await look(telling) || !co_await convert(telling)) co_return Told::kGivenUp;
  co_return co_await hand_on(telling);
}

// What was found out while the database was asked, or the workers were waited for, may not be so any more.
postgres::Task<ChangeFeed::Told> ChangeFeed::make_fresh(const std::vector<Change>& rows, std::size_t first) {
  if (parts_.clock.now() - refreshed_at_ >= ChangeCatalog::kFresh && !co_await refresh()) co_return Told::kGivenUp;
  for (std::size_t i = first; i < rows.size(); ++i) {
    if (!is_outdated(rows[i])) continue;
    again_at_ = rows[first].place;
    co_return Told::kAgain;
  }
  co_return Told::kAll;
}

bool ChangeFeed::is_outdated(const Change& row) const {
  const auto watched = watched_.find(row.table->oid);
  return watched != watched_.end() && watched->second.table != row.table;
}

postgres::Task<bool> ChangeFeed::generate(std::vector<Change>& rows) {
  std::map<const Table*, Generation> generations;
  for (Change& row : rows) {
    if (row.action == Action::kDelete) continue;
    const Table& table = *row.table;
    if (std::ranges::none_of(table.columns, &changes::TableColumn::is_generated)) continue;
    Generation& generation = generations[&table];
    if (generation.table == nullptr) {
      generation.table = &table;
      std::set<std::size_t> inputs;
      for (std::size_t place = 0; place < table.columns.size(); ++place) {
        const changes::TableColumn& column = table.columns[place];
        if (!column.is_generated || column.expression.empty()) continue;
        generation.generated.push_back(place);
        for (std::size_t i = 0; i < table.columns.size(); ++i) {
          if (std::ranges::find(column.expression_columns, table.columns[i].number) != column.expression_columns.end())
            inputs.insert(i);
        }
      }
      generation.inputs.assign(inputs.begin(), inputs.end());
    }
    // Newer servers may tell them; and what is made of something that was not told cannot be known.
    const bool is_told =
        std::ranges::all_of(generation.generated, [&](std::size_t place) { return row.row[place].is_shown(); });
    const bool is_known =
        std::ranges::all_of(generation.inputs, [&](std::size_t place) { return row.row[place].is_shown(); });
    if (!is_told && is_known) generation.rows.push_back(&row);
  }
  for (auto& [table, generation] : generations) {
    const CatalogTable* const facts = catalog_.find(table->oid);
    if (generation.rows.empty() || generation.generated.empty() || facts == nullptr || facts->table.get() != table)
      continue;
    const TableSql sql = facts->sql;
    std::vector<std::size_t> bytes;
    for (const Change* row : generation.rows) {
      std::size_t of_row = 0;
      for (const std::size_t place : generation.inputs) of_row += row->row[place].text.size() + 4;
      bytes.push_back(of_row);
    }
    const bool is_answered = co_await ask_in_parts(
        bytes,
        [&](std::size_t begin, std::size_t end) {
          postgres::Batch batch = generation_batch(generation, sql, begin, end);
          if (!parts_.superuser.empty()) batch.statements.insert(batch.statements.begin(), become_owner(sql.owner));
          return batch;
        },
        [&](const postgres::Rows& values, std::size_t begin) {
          for (std::size_t i = 0; i < values.size() && begin + i < generation.rows.size(); ++i) {
            for (std::size_t j = 0; j < generation.generated.size(); ++j) {
              Value& value = generation.rows[begin + i]->row[generation.generated[j]];
              const auto text = values.text(i, j);
              value.kind = text ? Value::Kind::kText : Value::Kind::kNull;
              if (text) value.text = made_.emplace_back(*text);
            }
          }
        },
        "generated columns of " + sql.name + " are left out");
    if (!is_answered) co_return false;
  }
  co_return true;
}

// False: it is to be given up. What fails by itself is left as it is.
postgres::Task<bool> ChangeFeed::ask_in_parts(const std::vector<std::size_t>& bytes, AskParts ask, TakeParts take,
                                              std::string what) {
  std::size_t one_by_one_until = 0;
  for (std::size_t begin = 0; begin < bytes.size();) {
    std::size_t end = begin + 1;
    if (begin >= one_by_one_until) {
      for (std::size_t sum = bytes[begin]; end < bytes.size() && sum + bytes[end] < kPartBytes; ++end)
        sum += bytes[end];
    }
    std::optional<postgres::PgError> failure;
    const bool is_answered = co_await until_answered([&]() -> postgres::Task<postgres::Result<void>> {
      const auto reply = co_await pool_->run(ask(begin, end));
      if (reply) {
        take(reply->back(), begin);
      } else if (is_passing(reply.error())) {
        co_return tl::make_unexpected(reply.error());
      } else {
        failure = reply.error();
      }
      co_return postgres::Result<void>{};
    });
    if (!is_answered) co_return false;
    // What takes too long together is not tried one by one.
    if (failure && end - begin > 1 && failure->sqlstate != "57014") {
      one_by_one_until = end;
      continue;
    }
    if (failure) log_sometimes(LogLevel::kWarning, "PoolingReplicationError", what + ": " + failure->message);
    begin = end;
  }
  co_return true;
}

// Leaves out, and returns, those behind a row by which there is enough to do.
std::vector<Change> ChangeFeed::match(Telling& telling) {
  std::size_t found = 0;
  for (std::size_t i = 0; i < telling.rows.size(); ++i) {
    if (found > kMatchesMax || telling.questions.size() > kQuestionsMax) {
      const auto rest = telling.rows.begin() + static_cast<std::ptrdiff_t>(i);
      std::vector<Change> left(std::make_move_iterator(rest), std::make_move_iterator(telling.rows.end()));
      telling.rows.erase(rest, telling.rows.end());
      return left;
    }
    telling.of_rows.emplace_back();
    const Change& row = telling.rows[i];
    const auto watched = watched_.find(row.table->oid);
    if (watched == watched_.end() || watched->second.table != row.table) continue;
    Telling::OfRow& of_row = telling.of_rows[i];
    const changes::SubscriptionIndex& index = *watched->second.index;
    if (row.action != Action::kDelete && row.table->primary_key.empty()) {
      of_row.keyless = index.all(row.action);
      found += of_row.keyless.size();
      continue;
    }
    std::set<std::string_view> unauthorized;
    for (const auto& [role, count] : watched->second.roles) {
      if (row.action != Action::kDelete && !reads_key(*row.table, catalog_.readable(role, *row.table)))
        unauthorized.insert(role);
    }
    if (!unauthorized.empty()) {
      for (const Handle handle : index.all(row.action)) {
        if (unauthorized.contains(elements_[handle].viewer->role)) of_row.unauthorized.push_back(handle);
      }
      found += of_row.unauthorized.size();
      if (unauthorized.size() == watched->second.roles.size()) continue;
    }
    of_row.matches = index.match(row, telling.questions);
    found += of_row.matches.sure.size() + of_row.matches.perhaps.size();
    if (unauthorized.empty()) continue;
    const auto is_told_otherwise = [&](Handle handle) { return unauthorized.contains(elements_[handle].viewer->role); };
    std::erase_if(of_row.matches.sure, is_told_otherwise);
    std::erase_if(of_row.matches.perhaps, [&](const auto& one) { return is_told_otherwise(one.handle); });
  }
  return {};
}

postgres::Task<bool> ChangeFeed::decide(Telling& telling) {
  if (telling.questions.all().empty()) co_return true;
  parts_.counters.filter_questions.add(telling.questions.all().size());
  co_return co_await until_answered([&]() -> postgres::Task<postgres::Result<void>> {
    co_return co_await answer_questions(*pool_, catalog_.types(), telling.questions, parts_.config.filter_timeout);
  });
}

void ChangeFeed::choose(Telling& telling) {
  for (Telling::OfRow& of_row : telling.of_rows) {
    of_row.told = std::move(of_row.matches.sure);
    for (const changes::Undecided& one : of_row.matches.perhaps) {
      if (is_met(one, telling.questions)) of_row.told.push_back(one.handle);
    }
    of_row.matches = {};
  }
}

postgres::Task<bool> ChangeFeed::look(Telling& telling) {
  std::map<const Table*, std::shared_ptr<const CatalogTable>> tables;
  std::set<std::uint32_t> transactions;
  for (std::size_t i = 0; i < telling.rows.size(); ++i) {
    const Change& row = telling.rows[i];
    Telling::OfRow& of_row = telling.of_rows[i];
    if (row.action == Action::kDelete || !row.table->has_row_security || of_row.told.empty()) continue;
    auto& facts = tables[row.table.get()];
    if (!facts) {
      const CatalogTable* const known = catalog_.find(row.table->oid);
      if (known != nullptr && known->table == row.table) facts = std::make_shared<const CatalogTable>(*known);
    }
    const auto is_known = [&](std::size_t place) { return is_text(row.row[place]); };
    // Nobody can look for it: it has changed since, or its key was not told.
    if (!facts || !std::ranges::all_of(row.table->primary_key, is_known)) {
      of_row.told.clear();
      continue;
    }
    VisibilityKeys::Key key;
    for (const std::size_t place : row.table->primary_key) key.emplace_back(row.row[place].text);
    const auto viewer_of = [&](std::size_t place) -> const std::shared_ptr<const Viewer>& {
      return elements_[of_row.told[place]].viewer;
    };
    of_row.look = telling.looks.add(facts, std::move(key), of_row.told.size(), viewer_of);
    transactions.insert(row.transaction);
  }
  if (telling.looks.empty()) co_return true;
  std::vector<VisibilityQuestion>& questions = telling.looks.questions();
  parts_.counters.visibility_questions.add(questions.size());
  const VisibilityLog say = [this](std::string_view code, const std::string& text) {
    parts_.counters.visibility_errors.add();
    log_sometimes(LogLevel::kWarning, code, text);
  };
  const bool is_answered = co_await until_answered([&]() -> postgres::Task<postgres::Result<void>> {
    co_return co_await ask_visibility(*pool_, parts_.surroundings.io, parts_.clock, stopped_, parts_.config.visibility,
                                      {transactions.begin(), transactions.end()}, questions, say);
  });
  if (!is_answered) co_return false;
  for (Telling::OfRow& of_row : telling.of_rows) {
    if (!of_row.look) continue;
    std::size_t seeing = 0;
    for (std::size_t i = 0; i < of_row.told.size(); ++i) {
      if (telling.looks.is_visible(*of_row.look, i)) of_row.told[seeing++] = of_row.told[i];
    }
    of_row.told.resize(seeing);
  }
  co_return true;
}

// What only the database can write as JSON: types with a cast of their own.
postgres::Task<bool> ChangeFeed::convert(Telling& telling) {
  struct Place {
    RenderedChange::Converted* converted;
    std::size_t size;
    std::size_t column;
    std::string_view text;
  };
  // By type, and by whose rights its cast may have: it may be anybody's.
  std::map<std::pair<Oid, std::string>, std::vector<Place>> by_type;
  for (std::size_t i = 0; i < telling.rows.size(); ++i) {
    if (telling.of_rows[i].told.empty()) continue;
    const Change& row = telling.rows[i];
    for (std::size_t column = 0; column < row.table->columns.size(); ++column) {
      const Oid type = row.table->columns[column].type;
      if (!changes::needs_conversion(catalog_.types(), type)) continue;
      const CatalogTable* const facts = catalog_.find(row.table->oid);
      if (facts == nullptr) continue;
      for (const auto& [values, converted] :
           {std::pair(&row.row, &telling.of_rows[i].row), std::pair(&row.before, &telling.of_rows[i].before)}) {
        if (column >= values->size() || !is_text((*values)[column])) continue;
        by_type[{type, facts->sql.owner}].push_back({converted, values->size(), column, (*values)[column].text});
      }
    }
  }
  for (const auto& [key, places] : by_type) {
    const changes::Type* const type = catalog_.types().find(key.first);
    if (type == nullptr) continue;
    const std::string sql = "SELECT pg_catalog.to_jsonb(k.v::" + type->sql_name + ")::pg_catalog.text FROM " +
                            arrays(1) + " AS k (v, n) ORDER BY k.n";
    std::vector<std::size_t> bytes;
    for (const Place& place : places) bytes.push_back(place.text.size() + 4);
    const bool is_answered = co_await ask_in_parts(
        bytes,
        [&](std::size_t begin, std::size_t end) {
          ArrayText values;
          for (std::size_t i = begin; i < end; ++i) values.add(places[i].text);
          postgres::Batch batch = batch_of({.sql = sql, .parameters = {values.take()}, .plan = postgres::Plan::kOnce});
          if (!parts_.superuser.empty()) batch.statements.insert(batch.statements.begin(), become_owner(key.second));
          return batch;
        },
        [&](const postgres::Rows& texts, std::size_t begin) {
          for (std::size_t i = 0; i < texts.size() && begin + i < places.size(); ++i) {
            const Place& place = places[begin + i];
            if (place.converted->empty()) place.converted->resize(place.size);
            if (const auto text = texts.text(i, 0)) (*place.converted)[place.column] = std::string(*text);
          }
        },
        "values of a type with a cast to json are told as texts");
    if (!is_answered) co_return false;
  }
  co_return true;
}

// --- Their messages

postgres::Task<ChangeFeed::Told> ChangeFeed::hand_on(Telling& telling) {
  if (const Told fresh = co_await make_fresh(telling.rows, 0); fresh != Told::kAll) co_return fresh;
  ChangeBatch batch{.tenant = tenant_, .messages = {}};
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < telling.rows.size(); ++i) {
    const std::size_t before = batch.messages.size();
    render(telling, i, batch.messages);
    if (batch.messages.size() > before) {
      ++batch.rows;
      parts_.counters.told.add();
      meters_.told.add();
    }
    for (std::size_t j = before; j < batch.messages.size(); ++j) {
      batch.messages[j].receipt = stream_->receipt();
      bytes += batch.messages[j].bytes();
    }
    if (bytes < kHandedOnBytes && i + 1 < telling.rows.size()) continue;
    if (!batch.messages.empty()) parts_.sink.publish(std::exchange(batch, {.tenant = tenant_, .messages = {}}));
    bytes = 0;
    co_await room_.wait(parts_.config.stream.status_interval);
    if (is_stopping_) co_return Told::kGivenUp;
    if (i + 1 == telling.rows.size()) break;
    if (const Told fresh = co_await make_fresh(telling.rows, i + 1); fresh != Told::kAll) co_return fresh;
  }
  co_return Told::kAll;
}

void ChangeFeed::render(Telling& telling, std::size_t row, std::vector<ChangeMessage>& out) {
  const Change& change = telling.rows[row];
  Telling::OfRow& of_row = telling.of_rows[row];
  const Table& table = *change.table;
  std::vector<changes::Recipient> recipients;
  std::vector<std::string> data;
  const auto add = [&](Handle handle, std::uint32_t selection, std::size_t what) {
    const Element& element = elements_[handle];
    if (!element.question) return;
    recipients.push_back({.channel = element.owner,
                          .topic = element.question->topic,
                          .form = element.question->form,
                          .selection = selection,
                          .place = element.place,
                          .entry_id = element.entry_id,
                          .data = what});
  };
  for (const auto& [handles, error] :
       {std::pair(&of_row.keyless, changes::kNoPrimaryKey), std::pair(&of_row.unauthorized, changes::kUnauthorized)}) {
    if (handles->empty()) continue;
    data.push_back(error_data(change, error));
    for (const Handle handle : *handles) add(handle, 0, data.size() - 1);
  }
  if (!of_row.told.empty()) {
    RenderedChange rendered(change, catalog_.types(), settings_.record_bytes_max, std::move(of_row.row),
                            std::move(of_row.before));
    std::map<changes::Shown, std::size_t> data_of;
    // Who has the same role and the same selection is shown the same.
    std::map<std::pair<std::string_view, const std::vector<std::string>*>, std::size_t> known;
    for (const Handle handle : of_row.told) {
      const Element& element = elements_[handle];
      if (!element.question) continue;
      const std::vector<std::string>* const selection = element.columns.get();
      const auto [found, is_new] = known.try_emplace({element.viewer->role, selection}, 0);
      if (is_new) {
        changes::Shown shown = catalog_.readable(element.viewer->role, table);
        shown.resize(table.columns.size());
        for (std::size_t i = 0; selection != nullptr && i < shown.size(); ++i) {
          if (!table.columns[i].is_primary_key && !std::ranges::binary_search(*selection, table.columns[i].name))
            shown[i] = false;
        }
        const auto [at, is_new_data] = data_of.try_emplace(shown, data.size());
        if (is_new_data) data.push_back(rendered.data(shown));
        found->second = at->second;
      }
      add(handle, element.selection, found->second);
    }
  }
  changes::tell(change.action, recipients, data, out);
}

}  // namespace rt::database
