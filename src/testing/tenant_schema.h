// The schema `realtime`, with its partitions, in the database of a PostgresCluster.
#pragma once

#include "testing/postgres_loop.h"

namespace rt::testing {

// Made once, with the roles that tokens name.
void make_tenant_schema(PostgresLoop& loop);

}  // namespace rt::testing
