// The slot of a stream: found, waited for, or made.
#include <boost/asio/awaitable.hpp>
#include <utility>
#include <vector>

#include "services/database/slot_stream.h"

namespace rt::database {
namespace {

constexpr std::chrono::seconds kLockInterval{1};
constexpr std::chrono::seconds kListenersInterval{1};

}  // namespace

postgres::Task<std::optional<StreamEnd>> SlotStream::prepare_slot(Query query, Way way) {
  if (!is_durable_) {
    slot_ = temporary_slot_name(names_.slot, facts_, tenant_, parts_.config.node, parts_.config.slot_suffix);
    co_return co_await make_slot(query, way);
  }
  slot_ = durable_slot_name(names_.slot, facts_, tenant_);
  memory_->durable_slot = slot_;
  if (auto end = co_await wait_for_lock(query)) co_return end;
  bool is_told = false;
  while (true) {
    const auto found = co_await find_slot(query, slot_);
    if (!found) co_return not_started(names_, found.error());
    if (!*found) co_return co_await make_slot(query, way);
    if ((*found)->is_active) {  // by a session of ours that the server does not know to be gone
      if (!std::exchange(is_told, true)) note_being_used("the slot " + slot_ + " is still in use");
      if (co_await stopped_.wait_until(parts_.clock.now() + kLockInterval)) co_return StreamEnd{};
      continue;
    }
    if ((*found)->is_usable && !slot_has_to_go_) break;
    if (!(*found)->is_usable) {
      log(LogLevel::kWarning, "ReplicationSlotNotAlive",
          "the server has dropped what the slot " + slot_ +
              " kept: raise max_slot_wal_keep_size if that happens again; a new one is made");
    }
    const auto dropped = co_await query("SELECT pg_drop_replication_slot(" + quoted(slot_) + ")");
    if (!dropped) co_return not_started(names_, dropped.error());
  }
  const bool is_ours = memory_->slot == slot_;
  reader_.on_slot(is_ours ? SlotReader::Continuity::kSame : SlotReader::Continuity::kLeft);
  if (!is_ours) co_return co_await wait_for_listeners(query);
  co_return std::nullopt;
}

void SlotStream::note_being_used(const std::string& text) const {
  const LogLevel level = names_.being_used.empty() ? LogLevel::kInfo : LogLevel::kError;
  log(level, names_.being_used, text + ": waiting until it is free");
}

// One node at a time has a tenant's durable slot; the lock goes with the session.
postgres::Task<std::optional<StreamEnd>> SlotStream::wait_for_lock(Query query) {
  const std::string ask = "SELECT pg_try_advisory_lock(" + std::to_string(slot_lock(slot_)) + ")";
  bool is_told = false;
  while (true) {
    const auto taken = co_await query(ask);
    if (!taken) co_return not_started(names_, taken.error());
    if (taken->text(0, 0) == "t") co_return std::nullopt;
    if (!std::exchange(is_told, true)) note_being_used("another session has the slot " + slot_);
    if (co_await stopped_.wait_until(parts_.clock.now() + kLockInterval)) co_return StreamEnd{};
  }
}

// What the slot kept is for those who were here before a restart, so they have to be back.
postgres::Task<std::optional<StreamEnd>> SlotStream::wait_for_listeners(Query query) {
  const Time graced = began_ + parts_.config.resume_grace;
  while (!reader_.has_listeners() || parts_.clock.now() < graced) {
    const Time next = parts_.clock.now() + kListenersInterval;
    if (co_await stopped_.wait_until(parts_.clock.now() < graced ? std::min(next, graced) : next))
      co_return StreamEnd{};
    // The server would notice; we would not.
    const auto alive = co_await query("SELECT 1");
    if (!alive) co_return not_started(names_, alive.error());
  }
  co_return std::nullopt;
}

postgres::Task<std::optional<StreamEnd>> SlotStream::make_slot(Query query, Way way) {
  // Should this fail half-way, a durable one is there and what was missed is not told: then it is made once more.
  slot_has_to_go_ = is_durable_;
  auto made = co_await make_slot_now(query, way);
  // duplicate_object: somebody else chose this name, and a name need not be that one.
  if (!made && made.error().sqlstate == "42710" && !is_durable_) {
    log(LogLevel::kWarning, "", "somebody else has a slot " + slot_ + ": taking another name");
    slot_ = temporary_slot_name(names_.slot, facts_, tenant_, parts_.random.next(), std::nullopt);
    made = co_await make_slot_now(query, way);
  }
  if (!made) co_return not_started(names_, made.error());
  slot_has_to_go_ = false;
  memory_->slot = slot_;  // so that it is the same one for the next session, even if nothing is read in this
  memory_->delivered_until = {};
  reader_.on_slot(SlotReader::Continuity::kNew);
  co_return std::nullopt;
}

// The first look of a stream's slot at the database is the reader's, too: nothing is between what it finds there and
// the stream. Without a walsender there is no such thing: what is committed between the two is found in both.
postgres::Task<postgres::Result<void>> SlotStream::make_slot_now(Query query, Way way) {
  const std::string begin = "BEGIN READ ONLY ISOLATION LEVEL REPEATABLE READ";
  std::vector<std::string> commands;
  if (way == Way::kStream) {
    commands = {begin, "CREATE_REPLICATION_SLOT \"" + slot_ + "\" " + (is_durable_ ? "" : "TEMPORARY ") +
                           "LOGICAL pgoutput USE_SNAPSHOT"};
  } else {
    commands = {"SELECT pg_create_logical_replication_slot(" + quoted(slot_) + ", 'pgoutput', " +
                    (is_durable_ ? "false)" : "true)"),
                begin};
  }
  for (std::string& command : commands) {
    const auto done = co_await query(std::move(command));
    if (done) continue;
    (void)co_await query("ROLLBACK");
    co_return tl::make_unexpected(done.error());
  }
  const auto looked = co_await reader_.on_new_slot(query);
  if (!looked) co_return tl::make_unexpected(looked.error());
  const auto committed = co_await query("COMMIT");
  if (!committed) co_return tl::make_unexpected(committed.error());
  co_return postgres::Result<void>{};
}

}  // namespace rt::database
