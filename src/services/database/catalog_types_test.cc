#include "services/database/catalog_types.h"

#include <doctest/doctest.h>

#include <boost/asio/awaitable.hpp>

#include "domain/changes/builtin_types.h"
#include "testing/postgres_loop.h"

namespace rt::database {
namespace {

using changes::Oid;
using changes::Type;
using changes::TypeKind;
using changes::Types;
using testing::PostgresCluster;
using testing::PostgresLoop;

std::string sql(const std::string& text) { return PostgresCluster::shared().sql(text); }

Oid oid(const std::string& type) { return static_cast<Oid>(std::stoul(sql("SELECT '" + type + "'::regtype::oid"))); }

// Types that are there for one test.
class Catalog {
 public:
  explicit Catalog(const std::string& make) {
    sql("CREATE SCHEMA \"Of types\"; SET search_path TO \"Of types\", public; " + make);
  }
  ~Catalog() { sql("SET client_min_messages = error; DROP SCHEMA \"Of types\" CASCADE"); }

  Types types(const std::vector<Oid>& oids, const std::string& search_path = "public") {
    PostgresLoop loop;
    const auto connection = loop.open();
    REQUIRE(loop.run(connection->run(testing::query("SET search_path TO " + search_path))));
    const auto reply = loop.run(connection->run({.statements = {types_statement(oids)}}));
    REQUIRE_MESSAGE(reply, reply.error().message);
    Types out;
    read_types(reply->back(), out);
    return out;
  }
};

TEST_CASE("a type is known with all that it is made of") {
  Catalog catalog(
      "CREATE TYPE \"Mood\" AS ENUM ('fine'); CREATE DOMAIN feeling AS \"Mood\"; CREATE DOMAIN feelings AS feeling[]; "
      "CREATE TYPE person AS (name text, gone integer, moods feelings, homes box[]); "
      "ALTER TYPE person DROP ATTRIBUTE gone; CREATE DOMAIN crowd AS person[]");
  const Oid crowd = oid(R"("Of types".crowd)");
  const Types types = catalog.types({crowd});

  const Type* const domain = types.find(crowd);
  REQUIRE(domain != nullptr);
  CHECK(domain->name == "crowd");
  CHECK(domain->schema == "Of types");
  CHECK(domain->kind == TypeKind::kDomain);
  CHECK(domain->element == 0);
  const Type* const array = types.find(domain->base);
  REQUIRE(array != nullptr);
  CHECK(array->name == "_person");
  CHECK(array->category == 'A');
  CHECK(array->base == 0);
  const Type* const person = types.find(array->element);
  REQUIRE(person != nullptr);
  CHECK(person->kind == TypeKind::kComposite);
  REQUIRE(person->fields.size() == 3);
  CHECK(person->fields[0].name == "name");
  CHECK(person->fields[1].name == "moods");
  CHECK(person->fields[2].name == "homes");
  CHECK(types.find(person->fields[0].type)->name == "text");
  CHECK(types.find(person->fields[2].type)->delimiter == ';');
  const Type* const feelings = types.find(types.base_of(person->fields[1].type));
  REQUIRE(feelings != nullptr);
  CHECK(feelings->delimiter == ',');
  CHECK(types.find(types.base_of(feelings->element))->kind == TypeKind::kEnum);
}

TEST_CASE("only types that Postgres takes for arrays have elements") {
  Catalog catalog("");
  const Types types = catalog.types({oid("point"), oid("name"), oid("int2vector"), oid("integer[]"), oid("jsonb")});
  CHECK(types.find(oid("point"))->element == 0);
  CHECK(types.find(oid("name"))->element == 0);
  CHECK(types.find(oid("jsonb"))->element == 0);
  CHECK(types.find(oid("int2vector"))->element == changes::kInt2Oid);
  CHECK(types.find(oid("integer[]"))->element == changes::kInt4Oid);
}

TEST_CASE("casts to json count where Postgres would use them [PC-042]") {
  Catalog catalog(R"(
    CREATE TYPE loud AS ENUM ('loud'); CREATE DOMAIN louder AS loud;
    CREATE FUNCTION to_json(loud) RETURNS json LANGUAGE sql AS $$ SELECT 'null'::json $$;
    CREATE CAST (loud AS json) WITH FUNCTION to_json(loud);
    CREATE TYPE quiet AS ENUM ('quiet'); CREATE CAST (quiet AS json) WITH INOUT;
    CREATE TYPE pair AS (a integer, b louder);
    CREATE FUNCTION to_json(pair) RETURNS json LANGUAGE sql AS $$ SELECT 'null'::json $$;
    CREATE CAST (pair AS json) WITH FUNCTION to_json(pair);
    CREATE FUNCTION to_json(loud[]) RETURNS json LANGUAGE sql AS $$ SELECT 'null'::json $$;
    CREATE CAST (loud[] AS json) WITH FUNCTION to_json(loud[]);
    CREATE FUNCTION to_json(point) RETURNS json LANGUAGE sql AS $$ SELECT 'null'::json $$;
    CREATE CAST (point AS json) WITH FUNCTION to_json(point))");
  const auto user = [](const std::string& name) { return oid("\"Of types\"." + name); };
  const Types types = catalog.types({user("louder"), user("quiet"), user("pair"), user("loud[]"), oid("point")});
  CHECK(types.find(user("loud"))->has_json_cast);
  for (const Oid type : {user("louder"), user("quiet"), user("pair"), user("loud[]"), oid("point")})
    CHECK(!types.find(type)->has_json_cast);
}

TEST_CASE("a type is named so that SQL finds it in any search path, and without a modifier") {
  Catalog catalog("CREATE TYPE \"My \"\"type\"\"\" AS ENUM ('a'); CREATE DOMAIN text AS text");
  const std::vector<Oid> oids = {oid("char"),
                                 oid("\"char\""),
                                 oid("bit"),
                                 oid("varchar"),
                                 oid("timestamptz"),
                                 oid("integer[]"),
                                 oid("interval"),
                                 oid(R"("Of types"."My ""type""")"),
                                 oid(R"("Of types".text)"),
                                 oid("pg_catalog.text")};
  const Types types = catalog.types(oids, "\"Of types\", public");
  for (const Oid type : oids)
    CHECK(sql("SET search_path TO \"Of types\"; SELECT '" + types.find(type)->sql_name + "'::regtype::oid") ==
          std::to_string(type));
  const auto cast = [&](const std::string& text, Oid type) {
    return sql("SELECT '" + text + "'::" + types.find(type)->sql_name + "::pg_catalog.text");
  };
  CHECK(cast("abc", oid("char")) == "abc");
  CHECK(cast("1010", oid("bit")) == "1010");
}

TEST_CASE("what users put into their search path is not called") {
  Catalog catalog(R"(
    CREATE FUNCTION eq(oid, oid) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'called'; END $$;
    CREATE FUNCTION eq("char", "char") RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'called'; END $$;
    CREATE FUNCTION gt(smallint, smallint) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'called'; END $$;
    CREATE FUNCTION gt(smallint, integer) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'called'; END $$;
    CREATE OPERATOR = (LEFTARG = oid, RIGHTARG = oid, FUNCTION = eq);
    CREATE OPERATOR >= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = eq);
    CREATE OPERATOR = (LEFTARG = "char", RIGHTARG = "char", FUNCTION = eq);
    CREATE OPERATOR <> (LEFTARG = "char", RIGHTARG = "char", FUNCTION = eq);
    CREATE OPERATOR > (LEFTARG = smallint, RIGHTARG = smallint, FUNCTION = gt);
    CREATE OPERATOR > (LEFTARG = smallint, RIGHTARG = integer, FUNCTION = gt);
    CREATE FUNCTION unnest(oid[]) RETURNS SETOF oid LANGUAGE plpgsql AS $$ BEGIN RAISE 'called'; END $$;
    CREATE FUNCTION quote_ident(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE 'called'; END $$;
    CREATE FUNCTION concat(text, text, text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE 'called'; END $$;
    CREATE VIEW pg_type AS SELECT; CREATE VIEW pg_attribute AS SELECT; CREATE VIEW pg_cast AS SELECT;
    CREATE DOMAIN oid AS pg_catalog.oid; CREATE TYPE pair AS (a integer))");
  const Types types = catalog.types({oid(R"("Of types".pair)")}, "\"Of types\", pg_catalog");
  CHECK(types.find(oid(R"("Of types".pair)"))->fields.size() == 1);
}

TEST_CASE("what is not in the catalog is not known, and what was known stays") {
  Catalog catalog("");
  Types types = catalog.types({4'000'000'000, changes::kInt4Oid});
  CHECK(types.find(4'000'000'000) == nullptr);
  CHECK(types.find(changes::kInt4Oid)->name == "int4");
  read_types(postgres::Rows{}, types);
  CHECK(types.find(changes::kInt4Oid) != nullptr);
}

}  // namespace
}  // namespace rt::database
