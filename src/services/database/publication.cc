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
const std::string kMake = "CREATE PUBLICATION " + kName + " FOR TABLE realtime.messages";
const std::string kMakeAgain = "DROP PUBLICATION IF EXISTS " + kName + "; " + kMake;

// duplicate_object: another node was faster.
bool is_there_now(const postgres::PgError& error) { return error.sqlstate == "42710" || error.sqlstate == "23505"; }

}  // namespace

postgres::Task<postgres::Result<PublicationUpkeep>> keep_publication(postgres::ReplicationConnection& connection,
                                                                     Time deadline) {
  const auto found = co_await connection.query(kLook, deadline);
  if (!found) co_return tl::make_unexpected(found.error());
  if (!found->empty() && found->text(0, 0) == "t") co_return PublicationUpkeep::kKept;
  const auto made = co_await connection.query(found->empty() ? kMake : kMakeAgain, deadline);
  if (!made && !is_there_now(made.error())) {
    postgres::PgError error = made.error();
    error.message.insert(0, "Error creating publication: ");
    co_return tl::make_unexpected(std::move(error));
  }
  co_return found->empty() ? PublicationUpkeep::kMade : PublicationUpkeep::kMadeAgain;
}

}  // namespace rt::database
