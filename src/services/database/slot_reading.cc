// What a stream takes of what its slot tells, and what it confirms of that.
#include <algorithm>
#include <utility>

#include "services/database/slot_stream.h"

namespace rt::database {
namespace {

using Go = postgres::ReplicationConnection::Go;

// A server that is being stopped asks again as soon as it is answered, until we have confirmed all.
constexpr std::chrono::milliseconds kAnswerInterval{100};

StreamEnd unexpected(const std::string& what) {
  return {"UnexpectedMessageReceived", what + ": the stream is begun anew"};
}

}  // namespace

Go SlotStream::take(std::string_view bytes) {
  const auto message = pgoutput::parse_stream_message(bytes);
  if (!message) {
    fault_ = unexpected(message.error().message);
    return Go::kNotYet;
  }
  if (const auto* keepalive = std::get_if<pgoutput::Keepalive>(&*message)) {
    server_end_ = std::max(server_end_, keepalive->server_end);
    received_ = std::max(received_, keepalive->server_end);
    if (!transaction_) note_nothing_until(keepalive->server_end);
    confirm(parts_.clock.now(), keepalive->wants_reply);
    return Go::kOn;
  }
  const auto& data = std::get<pgoutput::WalData>(*message);
  server_end_ = std::max(server_end_, data.server_end);
  if (!take_event(data.data)) return Go::kNotYet;
  return reader_.may_take() ? Go::kOn : Go::kNotYet;
}

// False: there is a fault.
bool SlotStream::take_event(std::string_view bytes) {
  is_settled_ = false;
  switch (bytes.empty() ? '\0' : bytes.front()) {
    case 'B':
    case 'C':
      return take_bound(bytes);
    case 'I':
    case 'U':
    case 'D':
      return take_row(bytes);
    default:
      return hand_on(bytes);
  }
}

bool SlotStream::take_bound(std::string_view bytes) {
  const auto message = parser_.parse(bytes);
  if (!message) {
    fault_ = unexpected(message.error().message);
    return false;
  }
  if (const auto* begin = std::get_if<pgoutput::Begin>(&*message)) {
    transaction_ = Transaction{begin->commit, begin->committed_micros, begin->transaction};
    rows_of_transaction_ = 0;
    is_repeated_ = begin->commit < told_.delivered_until;
  } else if (const auto* commit = std::get_if<pgoutput::Commit>(&*message)) {
    transaction_.reset();
    told_.delivered_until = std::max(told_.delivered_until, commit->end);
    received_ = std::max(received_, commit->end);
    ended_ = commit->end;
  }
  return true;
}

// Left out where it was told before the last stream ended within this transaction, or with all of it.
bool SlotStream::take_row(std::string_view bytes) {
  ++rows_of_transaction_;
  const Lsn commit = transaction_ ? transaction_->commit : Lsn{};
  const bool is_told = told_.half_told == commit && rows_of_transaction_ <= told_.rows_told;
  if (is_repeated_ || is_told) return true;
  if (!hand_on(bytes)) return false;
  told_.half_told = commit;
  told_.rows_told = rows_of_transaction_;
  return true;
}

bool SlotStream::hand_on(std::string_view bytes) {
  auto fault = reader_.take(transaction_.value_or(Transaction{}), bytes);
  if (fault) fault_ = std::move(fault);
  return !fault_;
}

// Behind what has yet to be delivered; not within a transaction.
void SlotStream::note_nothing_until(Lsn position) {
  if (is_settled_) {
    confirmations_.nothing_until(position);
  } else {
    nothing_until_ = position;
  }
}

// All that was taken is on its way.
void SlotStream::settle() {
  is_settled_ = true;
  memory_->delivered_until = told_.delivered_until;
  memory_->half_told = told_.half_told;
  memory_->rows_told = told_.rows_told;
  if (const Lsn end = std::exchange(ended_, {}); end.value > 0) confirmations_.ended(end, parts_.clock.now());
  if (const Lsn end = std::exchange(nothing_until_, {}); end.value > 0) confirmations_.nothing_until(end);
}

// The server hears from us when something has changed, when it asks, and from time to time, which it answers.
void SlotStream::confirm(Time now, bool is_asked) {
  const Lsn delivered = confirmations_.confirmed(now);
  // A temporary slot gives nothing again, so there is nothing to keep it for.
  const Lsn confirmed = is_durable_ ? delivered : std::max(delivered, received_);
  const bool is_due = now >= status_due_;
  if (!is_due && confirmed == confirmed_) {
    if (is_asked) status_due_ = std::min(status_due_, std::max(now, answered_at_ + kAnswerInterval));
    return;
  }
  send_status(now, confirmed, is_due ? pgoutput::Reply::kWanted : pgoutput::Reply::kNotNeeded);
  if (!is_due) return;
  status_due_ = now + parts_.config.status_interval;
  guard_lag(confirmed);
}

void SlotStream::send_status(Time now, Lsn confirmed, pgoutput::Reply reply) {
  confirmed_ = confirmed;
  answered_at_ = now;
  connection_->send(pgoutput::make_status_update(std::max(received_, confirmed), confirmed,
                                                 pgoutput::micros_of(parts_.clock.wall()), reply));
}

// What waits to be delivered is bounded elsewhere; what the slot keeps meanwhile is bounded here.
void SlotStream::guard_lag(Lsn confirmed) {
  const std::uint64_t lag = server_end_.value - std::min(server_end_.value, confirmed.value);
  const bool is_growing = lag > std::exchange(lag_before_, lag);
  if (!facts_.slot_bytes_max || !is_growing || lag <= *facts_.slot_bytes_max / 2) return;
  slot_has_to_go_ = true;
  fault_ = StreamEnd{names_.lag_too_high, "the slot " + slot_ + " keeps " + std::to_string(lag >> 20) +
                                              " MB, more than half of max_slot_wal_keep_size, and it grows: it is "
                                              "replaced" +
                                              std::string(names_.when_replaced)};
}

std::optional<StreamEnd> SlotStream::overdue(Time now) const {
  if (now - heard_at_ > parts_.config.silence_max)
    return StreamEnd{"ReplicationConnectionWatchdogTimeout",
                     "the server gave no sign of life: the stream is begun anew"};
  return std::nullopt;
}

}  // namespace rt::database
