#include "domain/messages/confirmations.h"

#include <algorithm>

namespace rt::messages {

// A transaction that goes on for longer than batches are shared stays in the one in which it began.
Confirmations::Batch& Confirmations::open_batch(Time now) {
  if (!batches_.empty() && batches_.back().receipt) return batches_.back();
  Batch& batch = batches_.emplace_back();
  batch.since = now;
  batch.receipt = std::make_shared<const char>();
  batch.held = batch.receipt;
  return batch;
}

std::shared_ptr<const void> Confirmations::receipt(Time now) { return open_batch(now).receipt; }

void Confirmations::ended(Lsn end, Time now) {
  Batch& batch = open_batch(now);
  batch.end = end;
  if (now - batch.since >= kShared) batch.receipt.reset();
}

void Confirmations::nothing_until(Lsn position) {
  if (batches_.empty()) {
    confirmed_ = std::max(confirmed_, position);
  } else if (batches_.back().end.value > 0) {
    batches_.back().end = std::max(batches_.back().end, position);
  }
}

Lsn Confirmations::confirmed(Time now) {
  // One that is open takes no more once its time is over, so that the last of a burst is confirmed, too.
  if (!batches_.empty()) {
    Batch& last = batches_.back();
    if (last.receipt && last.end.value > 0 && now - last.since >= kShared) last.receipt.reset();
  }
  for (Batch& batch : batches_) {
    if (!batch.delivered_at && !batch.receipt && batch.held.expired()) batch.delivered_at = now;
  }
  while (!batches_.empty() && batches_.front().delivered_at && now - *batches_.front().delivered_at >= window_) {
    confirmed_ = std::max(confirmed_, batches_.front().end);
    batches_.pop_front();
  }
  return confirmed_;
}

}  // namespace rt::messages
