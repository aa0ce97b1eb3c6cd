// What a feed of messages missed while it had no slot.
#include <boost/asio/awaitable.hpp>

#include "domain/messages/message_row.h"
#include "services/database/message_feed.h"

namespace rt::database {
namespace {

constexpr std::size_t kMissedRowsPerFetch = 10;
constexpr std::size_t kNamesBytesMax = 64 * 1024;  // of topic and event of a row that is fetched

// In the order in which texts_of() takes them.
constexpr const char* kColumns = "id, topic, event, private, inserted_at, payload, binary_payload";

messages::RowTexts texts_of(const postgres::Rows& rows, std::size_t row) {
  return {.id = rows.text(row, 0),
          .topic = rows.text(row, 1),
          .event = rows.text(row, 2),
          .is_private = rows.text(row, 3),
          .inserted_at = rows.text(row, 4),
          .payload = rows.text(row, 5),
          .binary_payload = rows.text(row, 6)};
}

std::string interval(std::chrono::milliseconds duration) {
  return "interval '" + std::to_string(duration.count()) + " milliseconds'";
}

}  // namespace

// As far as the table can tell. Where there is no walsender, what is committed between this look and the first of the
// stream is found in both, and told once.
postgres::Task<postgres::Result<void>> MessageFeed::on_new_slot(Query query) {
  if (!memory_->lost_at || !has_gap_rule()) co_return postgres::Result<void>{};
  learn_limits();
  const auto declared = co_await query("DECLARE missed CURSOR FOR " + missed_rows());
  if (!declared) co_return tl::make_unexpected(declared.error());
  while (true) {
    const auto rows = co_await query("FETCH " + std::to_string(kMissedRowsPerFetch) + " FROM missed");
    if (!rows) co_return tl::make_unexpected(rows.error());
    if (rows->empty()) co_return postgres::Result<void>{};
    for (std::size_t row = 0; row < rows->size(); ++row) take_row(texts_of(*rows, row), nullptr);
    co_await room_.wait(parts_.config.status_interval);
  }
}

// Times are those of whoever inserted the rows; one that lies ahead of the gap does not hide the others. What is too
// large to be broadcast stays there: a fetch takes several.
std::string MessageFeed::missed_rows() const {
  const MessageFeedConfig& config = parts_.config;
  const auto gap = std::chrono::duration_cast<std::chrono::milliseconds>(parts_.clock.now() - *memory_->lost_at);
  const std::string now = "(now() AT TIME ZONE 'utc')";
  const std::string since = "greatest(least(" + quoted(memory_->last_inserted_at) + "::timestamp, " + now + " - " +
                            interval(gap) + ") - " + interval(config.gap_overlap) + ", " + now + " - " +
                            interval(config.gap_age_max) + ")";
  const std::string size =
      "coalesce(octet_length(binary_payload), octet_length(payload::text), 0) + octet_length(topic) + "
      "coalesce(octet_length(event), 0)";
  const std::string newest = std::string("SELECT ") + kColumns +
                             ", tableoid AS part, ctid AS place FROM realtime.messages WHERE inserted_at > " + since +
                             " AND " + size + " <= " + std::to_string(body_bytes_max_ + kNamesBytesMax) +
                             " ORDER BY inserted_at DESC, tableoid DESC, ctid DESC LIMIT " +
                             std::to_string(config.gap_rows_max);
  return std::string("SELECT ") + kColumns + " FROM (" + newest + ") m ORDER BY inserted_at, part, place";
}

}  // namespace rt::database
