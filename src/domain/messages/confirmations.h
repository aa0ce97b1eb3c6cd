// How far a replication stream may be confirmed: as far as everything of it was delivered, for a while.
//
// Every message holds a receipt until its last frame was taken by the kernel, so a receipt that nobody holds any more
// is a delivery. Transactions of a short time share one: there are few to look at, however many messages come.
#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <optional>

#include "base/clock.h"
#include "model/lsn.h"

namespace rt::messages {

class Confirmations {
 public:
  static constexpr std::chrono::milliseconds kShared{100};

  // `window`: how long something has to have been delivered, so that a client that is told of it and then loses its
  // connection can be told again after a restart.
  explicit Confirmations(std::chrono::milliseconds window) : window_(window) {}

  // For what is delivered now.
  std::shared_ptr<const void> receipt(Time now);
  // A transaction was delivered that ends there; its messages have the receipts given since the one before.
  void ended(Lsn end, Time now);
  // The server says that it has nothing for us up to there. Not within a transaction.
  void nothing_until(Lsn position);

  // Never less than before.
  Lsn confirmed(Time now);
  bool is_all_delivered() const { return batches_.empty(); }

 private:
  struct Batch {
    Lsn end;  // of its last transaction that has ended; 0: none has
    Time since{};
    std::shared_ptr<const void> receipt;  // null: it takes no more
    std::weak_ptr<const void> held;
    std::optional<Time> delivered_at;
  };
  Batch& open_batch(Time now);

  std::chrono::milliseconds window_;
  std::deque<Batch> batches_;
  Lsn confirmed_;
};

}  // namespace rt::messages
