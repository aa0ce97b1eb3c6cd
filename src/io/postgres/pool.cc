#include "io/postgres/pool.h"

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <list>
#include <vector>

#include "base/check.h"
#include "io/postgres/event.h"
#include "io/postgres/task_group.h"

namespace rt::postgres {
namespace {

enum class Use : std::uint8_t { kShared, kExclusive };

struct Seat {
  std::shared_ptr<Connection> connection;
  std::size_t users = 0;
  bool is_leased = false;            // until it has been reset
  bool is_reserved = false;          // takes nobody more: the next who gets it wants it for himself
  std::optional<PgError> worn_by{};  // likewise, and is closed when its users have gone
  Time idle_since{};
};

struct Waiter {
  Waiter(boost::asio::io_context& io, Use what) : use(what), answered(io) {}

  const Use use;
  std::shared_ptr<Seat> seat{};
  std::optional<PgError> error{};
  Event answered;
};

// read_only_sql_transaction; nullptr: no statement failed so.
const PgError* read_only_error(const BatchReply& reply) {
  return !reply && reply.error().sqlstate == "25006" ? &reply.error() : nullptr;
}
const PgError* read_only_error(const SectionsReply& reply) {
  if (!reply) return nullptr;
  for (const auto& rows : *reply) {
    if (!rows && rows.error().sqlstate == "25006") return &rows.error();
  }
  return nullptr;
}

Batch only(const char* sql) { return {.statements = {{.sql = sql, .plan = Plan::kOnce}}, .ends = Ends::kOpen}; }

}  // namespace

struct Pool::Impl {
  Impl(Surroundings around, ConnectionSettings how, const PoolConfig& limits, const rt::Clock& time, Random& random,
       OnNotice notices, OnTrouble trouble)
      : surroundings(around),
        settings(std::move(how)),
        config(limits),
        clock(time),
        on_notice(std::move(notices)),
        on_trouble(std::move(trouble)),
        backoff(limits.reconnect, random),
        idle_timer(around.io),
        group(around.io) {}

  Task<Result<std::shared_ptr<Seat>>> acquire(Use use, std::shared_ptr<Cancellation> cancellation);
  template <class Reply>
  Task<Reply> run_by(Task<Reply> (Connection::*run)(Batch), Batch batch);
  void leave_queue(Waiter& waiter);
  PgError no_connection() const;
  void release(const std::shared_ptr<Seat>& seat);
  void wear_out_read_only(const PgError& error);
  void close_if_worn(const std::shared_ptr<Seat>& seat);
  void give_back(const std::shared_ptr<Seat>& seat);
  Task<void> take_back(std::shared_ptr<Seat> seat);

  void serve();
  std::shared_ptr<Seat> seat_for(Use use);
  void open_another();
  Task<void> open_one();
  void opened(std::unique_ptr<Connection> connection);
  void not_opened(const PgError& error);
  void lost(const Connection* connection, const PgError& error);
  void answer_all(const PgError& error);
  void watch_idle();
  void close_idle();

  const Surroundings surroundings;
  const ConnectionSettings settings;
  const PoolConfig config;
  const rt::Clock& clock;
  const OnNotice on_notice;
  const OnTrouble on_trouble;

  Backoff backoff;
  PoolCounters counters{};
  PgError last_failure{};
  std::vector<std::shared_ptr<Seat>> seats;
  std::size_t opening = 0;
  std::deque<Waiter*> waiting;
  std::list<std::shared_ptr<Cancellation>> attempts;  // to open one, or the wait before
  bool is_stopping = false;
  bool is_idle_watched = false;
  boost::asio::steady_timer idle_timer;
  TaskGroup group;  // destroyed first: it checks that nobody borrows the rest
};

// --- Who wants a connection

Task<Result<std::shared_ptr<Seat>>> Pool::Impl::acquire(Use use, std::shared_ptr<Cancellation> cancellation) {
  if (is_stopping) co_return fail(ErrorClass::kStopped, "the pool of connections is being stopped");
  if (waiting.size() >= config.waiting_max) {
    ++counters.refused;
    co_return fail(ErrorClass::kQueueFull, std::to_string(waiting.size()) + " wait for a connection already");
  }
  // An attempt was made a moment ago, and would end in the same way.
  if (seats.empty() && is_lasting(last_failure) && clock.now() < backoff.not_before())
    co_return tl::make_unexpected(last_failure);
  Waiter waiter(surroundings.io, use);
  waiting.push_back(&waiter);
  serve();
  if (!waiter.seat && !waiter.error) {
    ++counters.waits;
    if (cancellation) cancellation->set_hook([&waiter] { waiter.answered.set(); });
    co_await waiter.answered.wait_until(std::chrono::steady_clock::now() + config.wait_timeout);
    if (cancellation) cancellation->set_hook(nullptr);
  }
  if (waiter.seat) co_return std::move(waiter.seat);
  leave_queue(waiter);
  if (waiter.error) co_return tl::make_unexpected(*std::move(waiter.error));
  if (cancellation && cancellation->is_cancelled())
    co_return fail(ErrorClass::kCancelled, "cancelled while it waited for a connection");
  ++counters.timed_out;
  co_return tl::make_unexpected(no_connection());
}

void Pool::Impl::leave_queue(Waiter& waiter) {
  std::erase(waiting, &waiter);
  for (const auto& seat : seats) seat->is_reserved = false;
  serve();
}

PgError Pool::Impl::no_connection() const {
  std::string why = "no connection was free within " + std::to_string(config.wait_timeout.count()) + " ms";
  if (seats.empty() && !last_failure.message.empty()) why += "; the last attempt to connect: " + last_failure.message;
  return {.kind = ErrorClass::kNoConnection, .sqlstate = seats.empty() ? last_failure.sqlstate : "", .message = why};
}

void Pool::Impl::release(const std::shared_ptr<Seat>& seat) {
  --seat->users;
  seat->idle_since = clock.now();
  close_if_worn(seat);
  serve();
  watch_idle();
}

// A session that began on a database that could only be read may stay so when that can be written again: what a session
// has for default_transaction_read_only is what its database had at its login. A statement that fails by what it does
// itself tells nothing of the session, so this asks what the server has reported of each.
void Pool::Impl::wear_out_read_only(const PgError& error) {
  for (const auto& seat : std::vector(seats)) {
    if (!seat->connection->server().is_read_only) continue;
    seat->worn_by = error;
    close_if_worn(seat);
  }
}

void Pool::Impl::close_if_worn(const std::shared_ptr<Seat>& seat) {
  if (!seat->worn_by || seat->users > 0 || !seat->connection->is_open()) return;
  seat->connection->close();
  lost(seat->connection.get(), *seat->worn_by);
}

void Pool::Impl::give_back(const std::shared_ptr<Seat>& seat) { group.spawn(take_back(seat)); }

Task<void> Pool::Impl::take_back(std::shared_ptr<Seat> seat) {
  if (seat->connection->is_open()) {
    const auto done = co_await seat->connection->reset();
    if (!done) ++counters.discarded;
  }
  seat->is_leased = false;
  release(seat);
}

// --- Who gets one

void Pool::Impl::serve() {
  while (!waiting.empty()) {
    Waiter& next = *waiting.front();
    next.seat = seat_for(next.use);
    if (!next.seat) return open_another();
    waiting.pop_front();
    const bool is_busy = next.seat->users > 0;
    ++next.seat->users;
    next.seat->is_leased = next.use == Use::kExclusive;
    next.seat->is_reserved = false;
    next.answered.set();
    if (is_busy) open_another();
  }
}

// The one with the fewest users. Null: none has room.
std::shared_ptr<Seat> Pool::Impl::seat_for(Use use) {
  std::shared_ptr<Seat> best;
  for (const auto& seat : seats) {
    if (!seat->connection->is_open() || seat->is_leased || seat->worn_by) continue;
    if (seat->is_reserved && use == Use::kShared) continue;
    if (!best || seat->users < best->users) best = seat;
  }
  if (!best) return nullptr;
  if (use == Use::kShared) return best->users < config.pipeline_max ? best : nullptr;
  best->is_reserved = best->users > 0;
  return best->users == 0 ? best : nullptr;
}

void Pool::Impl::open_another() {
  if (is_stopping || opening > 0 || seats.size() >= config.connections_max) return;
  ++opening;
  group.spawn(open_one());
}

Task<void> Pool::Impl::open_one() {
  const auto attempt = attempts.insert(attempts.end(), std::make_shared<Cancellation>());
  const auto& cancellation = *attempt;
  if (const Duration wait = backoff.not_before() - clock.now(); wait > Duration::zero()) {
    Event stopped(surroundings.io);
    cancellation->set_hook([&stopped] { stopped.set(); });
    co_await stopped.wait_until(std::chrono::steady_clock::now() + wait);
    cancellation->set_hook(nullptr);
  }
  // Who waited may have gone meanwhile.
  if (!waiting.empty() && !is_stopping) {
    auto connection = co_await Connection::open(surroundings, settings, on_notice, cancellation);
    --opening;
    if (connection) {
      opened(*std::move(connection));
    } else {
      not_opened(connection.error());
    }
  } else {
    --opening;
  }
  attempts.erase(attempt);
}

void Pool::Impl::opened(std::unique_ptr<Connection> connection) {
  ++counters.opened;
  backoff.succeeded();
  last_failure = {};
  auto seat = std::make_shared<Seat>(Seat{.connection = std::move(connection), .idle_since = clock.now()});
  seat->connection->set_on_lost([this, which = seat->connection.get()](const PgError& error) { lost(which, error); });
  if (is_stopping) return;
  seats.push_back(std::move(seat));
  serve();
  watch_idle();
}

void Pool::Impl::not_opened(const PgError& error) {
  if (is_stopping) return;
  ++counters.open_failures;
  backoff.failed(clock.now());
  last_failure = error;
  if (on_trouble) on_trouble(error);
  if (seats.empty() && is_lasting(error)) return answer_all(error);
  serve();
}

void Pool::Impl::lost(const Connection* connection, const PgError& error) {
  ++counters.lost;
  std::erase_if(seats, [&](const auto& seat) { return seat->connection.get() == connection; });
  if (on_trouble) on_trouble(error);
  serve();
}

void Pool::Impl::answer_all(const PgError& error) {
  for (Waiter* const waiter : std::exchange(waiting, {})) {
    waiter->error = error;
    waiter->answered.set();
  }
}

void Pool::Impl::watch_idle() {
  if (is_stopping || seats.empty() || std::exchange(is_idle_watched, true)) return;
  idle_timer.expires_after(config.idle_timeout);
  idle_timer.async_wait([this, member = TaskGroup::Member(group)](const boost::system::error_code& error) {
    is_idle_watched = false;
    if (error) return;
    close_idle();
    watch_idle();
  });
}

void Pool::Impl::close_idle() {
  const Time now = clock.now();
  std::erase_if(seats, [&](const auto& seat) {
    const bool is_idle = seat->users == 0 && now - seat->idle_since >= config.idle_timeout;
    if (is_idle) seat->connection->close();
    return is_idle;
  });
}

// --- The pool

Lease::~Lease() {
  if (connection_ && give_back_) give_back_();
}

Pool::Pool(Surroundings surroundings, ConnectionSettings settings, const PoolConfig& config, const Clock& clock,
           Random& random, OnNotice on_notice, OnTrouble on_trouble)
    : impl_(std::make_unique<Impl>(surroundings, std::move(settings), config, clock, random, std::move(on_notice),
                                   std::move(on_trouble))) {}

Pool::~Pool() = default;

// By the function of the connection that is named.
template <class Reply>
Task<Reply> Pool::Impl::run_by(Task<Reply> (Connection::*run)(Batch), Batch batch) {
  RT_CHECK(surroundings.io.get_executor().running_in_this_thread());
  RT_CHECK(batch.ends != Ends::kOpen);
  const TaskGroup::Member member(group);
  // A connection may end between being given and being used; what was not sent may go by another.
  while (true) {
    const auto seat = co_await acquire(Use::kShared, batch.cancellation);
    if (!seat) co_return tl::make_unexpected(seat.error());
    if (!(*seat)->connection->is_open()) {
      release(*seat);
      continue;
    }
    auto reply = co_await ((*seat)->connection.get()->*run)(std::move(batch));
    if (const PgError* error = read_only_error(reply)) wear_out_read_only(*error);
    release(*seat);
    co_return reply;
  }
}

Task<BatchReply> Pool::run(Batch batch) { return impl_->run_by(&Connection::run, std::move(batch)); }

Task<SectionsReply> Pool::run_sections(Batch batch) {
  return impl_->run_by(&Connection::run_sections, std::move(batch));
}

Task<Result<Lease>> Pool::lease(std::shared_ptr<Cancellation> cancellation) {
  RT_CHECK(impl_->surroundings.io.get_executor().running_in_this_thread());
  TaskGroup::Member member(impl_->group);
  while (true) {
    auto seat = co_await impl_->acquire(Use::kExclusive, cancellation);
    if (!seat) co_return tl::make_unexpected(seat.error());
    if (!(*seat)->connection->is_open()) {
      impl_->release(*seat);
      continue;
    }
    (*seat)->connection->begin_exclusive_use();
    const auto connection = (*seat)->connection;
    const auto shared_member = std::make_shared<TaskGroup::Member>(std::move(member));
    co_return Lease(connection,
                    [impl = impl_.get(), seat = *std::move(seat), shared_member] { impl->give_back(seat); });
  }
}

Task<Result<void>> Pool::transaction(Body body) {
  const auto lease = co_await this->lease();
  if (!lease) co_return tl::make_unexpected(lease.error());
  Connection& connection = **lease;
  if (const auto begun = co_await connection.run(only("BEGIN")); !begun) co_return tl::make_unexpected(begun.error());
  auto done = co_await body(connection);
  if (!done) {
    // The reset at the end of the lease would do it too, or end the session; who asked may count on it already.
    (void)co_await connection.run(only("ROLLBACK"));
    co_return done;
  }
  const auto committed = co_await connection.run(only("COMMIT"));
  if (!committed) co_return tl::make_unexpected(committed.error());
  // The server answers a COMMIT of a transaction that has failed with a ROLLBACK.
  if (committed->front().command_tag() != "COMMIT")
    co_return fail(ErrorClass::kServer, "the transaction had failed and was rolled back");
  co_return Result<void>{};
}

Task<void> Pool::stop() {
  RT_CHECK(impl_->surroundings.io.get_executor().running_in_this_thread());
  impl_->is_stopping = true;
  impl_->answer_all({.kind = ErrorClass::kStopped, .message = "the pool of connections is being stopped"});
  for (const auto& attempt : impl_->attempts) attempt->cancel();
  impl_->idle_timer.cancel();
  for (const auto& seat : std::exchange(impl_->seats, {})) seat->connection->close();
  co_await impl_->group.drained();
}

std::size_t Pool::connections() const { return impl_->seats.size() + impl_->opening; }
std::size_t Pool::open_connections() const { return impl_->seats.size(); }
std::size_t Pool::waiting() const { return impl_->waiting.size(); }
const PoolCounters& Pool::counters() const { return impl_->counters; }
const PgError& Pool::last_failure() const { return impl_->last_failure; }

ServerInfo Pool::server() const {
  for (const auto& seat : impl_->seats) {
    if (seat->connection->is_open()) return seat->connection->server();
  }
  return {};
}

}  // namespace rt::postgres
