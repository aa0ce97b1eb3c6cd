// Whether the database accepts what a subscription asks of one table: a statement, and what its rows say.
//
// It calls the function that the trigger on realtime.subscription calls too, and writes nothing. What is not accepted
// is an error of the statement, whose message is what clients are told (database.md 6.5). So that it costs others of
// its batch nothing, go_back() of asking_as.h stands behind it. There are as many rows as filters and columns.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "domain/changes/matching.h"
#include "domain/changes/table.h"
#include "io/postgres/batch.h"

namespace rt::database {

// By whom: a role that there is not, `none` and `public` among them, is an error too. Filters and columns as
// changes::parse_request() gives them, so none has a NUL.
postgres::Statement check_subscription(changes::Oid table, std::string_view role,
                                       const std::vector<changes::Filter>& filters,
                                       const std::optional<std::vector<std::string>>& columns);

// Of a statement that went through: in the order in which realtime.subscription has them, so that another order of the
// same is the same subscription.
std::vector<changes::Condition> read_conditions(const postgres::Rows& rows);
std::optional<std::vector<std::string>> read_columns(const postgres::Rows& rows);  // nullopt: all

}  // namespace rt::database
