// Types as the catalog of a tenant's database describes them, with all that they are made of: elements of arrays, bases
// of domains, fields of composite types.
//
// https://www.postgresql.org/docs/15/catalog-pg-type.html
#pragma once

#include <cstddef>
#include <vector>

#include "domain/changes/table.h"
#include "io/postgres/batch.h"
#include "io/postgres/rows.h"

namespace rt::database {

// Of types and of fields of composite types together, in one answer. More are not known, and their values are strings.
inline constexpr std::size_t kTypeRowsMax = 8'000;

// What is not there has no row.
postgres::Statement types_statement(const std::vector<changes::Oid>& oids);

// What that gave goes into `types`.
void read_types(const postgres::Rows& rows, changes::Types& types);

}  // namespace rt::database
