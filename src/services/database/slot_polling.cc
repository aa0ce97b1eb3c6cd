// A stream without a walsender: its slot is read by an ordinary session that asks again and again.
#include <boost/asio/awaitable.hpp>
#include <utility>

#include "domain/messages/message_row.h"
#include "protocol/pgoutput/lsn_text.h"
#include "services/database/opening.h"
#include "services/database/slot_stream.h"

namespace rt::database {
namespace {

// A poll takes whole transactions: the one in which it has had enough, too.
constexpr std::size_t kChangesPerPoll = 1'000;
constexpr std::size_t kPolledRowsMax = 10'000'000;
constexpr std::size_t kPolledBytesMax = std::size_t{512} << 20;

postgres::Task<postgres::Result<postgres::Rows>> ask(postgres::Connection& session, std::string sql) {
  postgres::Batch batch{.ends = postgres::Ends::kOpen};
  batch.statements = {{.sql = std::move(sql), .plan = postgres::Plan::kOnce}};
  batch.limits = {.rows = kPolledRowsMax, .bytes = kPolledBytesMax};
  auto reply = co_await session.run(std::move(batch));
  if (!reply) co_return tl::make_unexpected(reply.error());
  co_return std::move(reply->back());
}

}  // namespace

postgres::Task<std::optional<StreamEnd>> SlotStream::poll() {
  auto opened =
      co_await postgres::Connection::open(parts_.surroundings, session_settings(), postgres::OnNotice{}, cancellation_);
  if (!opened) co_return not_started(names_, opened.error());
  const std::unique_ptr<postgres::Connection> session = *std::move(opened);
  const ClosedByCancellation closed(*session, cancellation_);
  session->begin_exclusive_use();
  const Query query = [&session](std::string sql) { return ask(*session, std::move(sql)); };
  if (auto end = co_await look_around(query)) co_return end;
  if (auto end = co_await prepare_slot(query, Way::kPoll)) co_return end;
  parts_.counters.polling.add();
  begin_reading();
  auto end = co_await poll_for_a_while(query);
  parts_.counters.polling.subtract();
  transaction_.reset();
  co_return end;
}

postgres::Task<std::optional<StreamEnd>> SlotStream::poll_for_a_while(Query query) {
  const Time until = parts_.clock.now() + parts_.config.poll_for;
  while (!is_stopping_ && parts_.clock.now() < until) {
    const auto polled = co_await poll_once(query);
    if (!polled) co_return lost(polled.error());
    if (fault_) co_return std::move(fault_);
    if (*polled == Polled::kGivenUp) co_return StreamEnd{};
    if (*polled == Polled::kNothing) co_await stopped_.wait_until(parts_.clock.now() + parts_.config.poll_interval);
  }
  co_return std::nullopt;
}

postgres::Task<postgres::Result<SlotStream::Polled>> SlotStream::poll_once(Query query) {
  const auto position = co_await query("SELECT pg_current_wal_flush_lsn()");
  if (!position) co_return tl::make_unexpected(position.error());
  const auto rows =
      co_await query("SELECT data FROM pg_logical_slot_peek_binary_changes(" + quoted(slot_) + ", NULL, " +
                     std::to_string(kChangesPerPoll) + ", 'proto_version', '1', 'publication_names', " +
                     quoted_name(names_.publication) + ")");
  if (!rows) co_return tl::make_unexpected(rows.error());
  if (!co_await take_polled(*rows)) co_return Polled::kGivenUp;
  // What is for others is passed, too, or it would be decoded again each time.
  const std::string end =
      rows->empty() ? std::string(position->text(0, 0).value_or("")) : pgoutput::to_text(memory_->delivered_until);
  if (std::exchange(polled_until_, end) == end) co_return Polled::kNothing;
  const auto advanced =
      co_await query("SELECT pg_replication_slot_advance(" + quoted(slot_) + ", " + quoted(end) + ")");
  if (!advanced) co_return tl::make_unexpected(advanced.error());
  co_return rows->empty() ? Polled::kNothing : Polled::kSomething;
}

// False: there is a fault, or it was given up.
postgres::Task<bool> SlotStream::take_polled(const postgres::Rows& rows) {
  for (std::size_t row = 0; row < rows.size(); ++row) {
    const auto bytes = messages::bytes_of_hex(rows.text(row, 0).value_or(""));
    if (!bytes) fault_ = StreamEnd{"UnexpectedMessageReceived", "a change that is no bytes: the stream is begun anew"};
    if (fault_ || !take_event(*bytes)) break;
    if (!reader_.may_take() && !co_await work()) co_return false;
  }
  const bool is_done = co_await work();
  (void)confirmations_.confirmed(parts_.clock.now());  // nobody waits for them here
  co_return is_done && !fault_;
}

}  // namespace rt::database
