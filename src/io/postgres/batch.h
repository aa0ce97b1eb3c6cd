// What is asked of Postgres in one go: statements that are sent together and answered together.
//
// A batch is one transaction and leaves none open, so batches of different origin may follow each other on one
// connection without waiting, and the error of one is nobody else's.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "io/postgres/error.h"
#include "io/postgres/rows.h"

namespace rt::postgres {

// kPrepared: on first use on a connection, under the text of its SQL. kOnce: for what is not asked again, or can be
// parsed only inside of its batch.
enum class Plan : std::uint8_t { kPrepared, kOnce };

// kIfAllIsWell: where none before it failed; a ROLLBACK TO SAVEPOINT, too, that only undoes. kInAnyCase: one that is
// what a transaction needs after an error. It begins a section, which the server answers by itself; run_sections()
// tells what became of each.
enum class Runs : std::uint8_t { kIfAllIsWell, kInAnyCase };

struct Statement {
  std::string sql;  // one statement; it neither begins nor ends a transaction, but on a lease
  std::vector<std::optional<std::string>> parameters{};  // $1, $2, …; nullopt: NULL
  Plan plan = Plan::kPrepared;
  Runs runs = Runs::kIfAllIsWell;
};

// kCommitted: all statements together or, after an error, none. kRolledBack: whatever happens, nothing remains,
// settings and role of the session included. kOpen, on a lease only: the transaction that is open stays so.
enum class Ends : std::uint8_t { kCommitted, kRolledBack, kOpen };

// Of the whole batch. A single row that is larger cannot be skipped: libpq gathers it before we see any of it. So the
// connection is closed once 1 MiB more than `bytes` have come of one, which those behind it lose, too.
struct ResultLimits {
  std::size_t rows = 10'000;
  std::size_t bytes = std::size_t{16} * 1024 * 1024;  // < 1 GiB
};

// Lets go of what runs. Loop-bound, like what it is passed to; may be kept and called when that has long ended.
class Cancellation {
 public:
  void cancel() {
    is_cancelled_ = true;
    if (const auto hook = std::exchange(hook_, nullptr)) hook();
  }
  bool is_cancelled() const { return is_cancelled_; }
  // Called at most once, by cancel(). Nothing: no longer.
  void set_hook(std::function<void()> hook) { hook_ = std::move(hook); }

 private:
  bool is_cancelled_ = false;
  std::function<void()> hook_;
};

struct Batch {
  static constexpr std::size_t kBytesMax = std::size_t{16} * 1024 * 1024;  // SQL and parameters

  std::vector<Statement> statements;
  Ends ends = Ends::kCommitted;
  // Of each statement, enforced by the server. nullopt: the connection's.
  std::optional<std::chrono::milliseconds> statement_timeout{};
  // How long all of it may take before the connection is given up. nullopt: as long as the time-outs of its statements.
  std::optional<std::chrono::milliseconds> patience{};
  ResultLimits limits{};
  // A batch that is running is cancelled on the server if nothing was sent behind it, which could be hit instead; else
  // it is answered at once, and what it gives is dropped when it comes.
  std::shared_ptr<Cancellation> cancellation{};
};

// The rows of each statement. The error is the first, and nothing of the batch was done where outcome_unknown is false.
using BatchReply = Result<std::vector<Rows>>;
// The rows or the error of each statement; one that was skipped has the error of the one that failed before it. The
// error of all: nothing of the batch was done at all, or nobody knows.
using SectionsReply = Result<std::vector<Result<Rows>>>;

}  // namespace rt::postgres
