#include <boost/asio/awaitable.hpp>

#include "testing/tenant_schema.h"

#include "io/postgres/partitions.h"
#include "io/postgres/schema.h"

namespace rt::testing {

void make_tenant_schema(PostgresLoop& loop) {
  const PostgresCluster& cluster = PostgresCluster::shared();
  if (!cluster.sql("SELECT to_regnamespace('realtime')").empty()) return;
  cluster.sql(
      "CREATE ROLE anon; CREATE ROLE authenticated; CREATE ROLE service_role BYPASSRLS; "
      "CREATE ROLE supabase_admin SUPERUSER; CREATE ROLE dashboard_user");
  const auto connection = loop.open();
  REQUIRE(loop.run(postgres::migrate(*connection)));
  REQUIRE(loop.run(postgres::make_partitions(*connection)));
}

}  // namespace rt::testing
