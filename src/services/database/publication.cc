#include "services/database/publication.h"

#include <boost/asio/awaitable.hpp>
#include <string>

namespace rt::database {
namespace {

const std::string kName(kMessagesPublication);

// A row where there is one: whether it publishes the new rows, whole, of our tables and of no other.
const std::string kLook =
    "SELECT p.pubinsert AND count(t.*) > 0 AND bool_and(t.schemaname = 'realtime' AND t.tablename ~ '^messages(_|$)') "
    "FROM pg_publication p LEFT JOIN pg_publication_tables t ON t.pubname = p.pubname WHERE p.pubname = '" +
    kName + "' GROUP BY p.oid, p.pubinsert";
// In one transaction: no change is decoded without it.
const std::string kMake[] = {"BEGIN", "DROP PUBLICATION IF EXISTS " + kName,
                             "CREATE PUBLICATION " + kName + " FOR TABLE realtime.messages", "COMMIT"};

// duplicate_object: another node was faster.
bool is_there_now(const postgres::PgError& error) { return error.sqlstate == "42710" || error.sqlstate == "23505"; }

}  // namespace

postgres::Task<postgres::Result<PublicationUpkeep>> keep_publication(Query query) {
  const auto found = co_await query(kLook);
  if (!found) co_return tl::make_unexpected(found.error());
  if (!found->empty() && found->text(0, 0) == "t") co_return PublicationUpkeep::kKept;
  for (const std::string& statement : kMake) {
    const auto done = co_await query(statement);
    if (done) continue;
    (void)co_await query("ROLLBACK");
    if (is_there_now(done.error())) co_return PublicationUpkeep::kKept;
    postgres::PgError error = done.error();
    error.message.insert(0, "Error creating publication: ");
    co_return tl::make_unexpected(std::move(error));
  }
  co_return found->empty() ? PublicationUpkeep::kMade : PublicationUpkeep::kMadeAgain;
}

}  // namespace rt::database
