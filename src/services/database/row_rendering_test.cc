#include <doctest/doctest.h>

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <random>
#include <set>

#include "domain/changes/builtin_types.h"
#include "domain/changes/decoded_size.h"
#include "domain/changes/json_normal.h"
#include "domain/changes/rendering.h"
#include "protocol/json/value.h"
#include "services/database/asking_as.h"
#include "services/database/catalog_types.h"
#include "testing/postgres_loop.h"
#include "testing/random_values.h"

// What rows are told as, compared with what Postgres itself makes of them: it is asked for the text of a value, which
// is what a change has, and for its jsonb.
namespace rt::database {
namespace {

using changes::Oid;
using changes::Type;
using changes::TypeKind;
using changes::Types;
using testing::PostgresLoop;
using testing::RandomValues;

constexpr std::size_t kValuesOfEach = 120;
constexpr std::size_t kBytesOfEach = std::size_t{1} << 19;
constexpr int kDocuments = 3'000;
constexpr int kRows = 120;
constexpr const char* kSchema = "Rendered \"rows\"";
const std::string kQuotedSchema = R"("Rendered ""rows""")";

// Types of users, of all kinds, and made of each other.
const std::string kMakeTypes = R"(
  CREATE TYPE mood AS ENUM ('fine', 'so so', 'with "quotes"', 'back\slash', '', 'NULL', 'a,b', '(x)', 'schön 😀');
  CREATE DOMAIN whole AS integer;
  CREATE DOMAIN broken AS double precision;
  CREATE DOMAIN exact AS numeric;
  CREATE DOMAIN words AS text;
  CREATE DOMAIN raw AS bytea;
  CREATE DOMAIN instant AS timestamptz;
  CREATE DOMAIN document AS jsonb;
  CREATE DOMAIN script AS json;
  CREATE DOMAIN feeling AS mood;
  CREATE DOMAIN wholes AS integer[];
  CREATE DOMAIN yes AS boolean;
  CREATE DOMAIN fixed AS char(80);
  CREATE DOMAIN within AS whole CHECK (VALUE > -2147483648);
  CREATE TYPE pair AS (a integer, b text);
  CREATE TYPE single AS (x text);
  CREATE TYPE nothing AS ();
  CREATE TYPE everything AS ("Zeta" boolean, alpha smallint, "key with blanks" bigint, "quo""ted" numeric, bc real,
    ab double precision, "ä" text, z varchar(200), y char(80), bytes bytea, day date, at time, at_zone timetz, stamp timestamp,
    stamp_zone timestamptz, span interval, doc json, docb jsonb, id uuid, feels mood, nums integer[], box_list box[],
    pair pair, single single, nothing nothing, whole whole, raw raw, oid oid, "1" int4range);
  ALTER TYPE everything DROP ATTRIBUTE bc;
  CREATE TYPE tree AS (name text, pairs pair[], docs jsonb[], more everything[], moods feeling[], raws raw[]);
  CREATE DOMAIN couple AS pair;
  CREATE DOMAIN couples AS couple[];
  CREATE DOMAIN forest AS tree[];
  CREATE TYPE deep AS (couple couple, couples couples, forest forest, wholes wholes[]);
  CREATE TYPE float_range AS RANGE (SUBTYPE = float8);
  CREATE TYPE semicolon;
  CREATE FUNCTION semicolon_in(cstring) RETURNS semicolon LANGUAGE internal IMMUTABLE STRICT AS 'textin';
  CREATE FUNCTION semicolon_out(semicolon) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';
  CREATE TYPE semicolon (INPUT = semicolon_in, OUTPUT = semicolon_out, DELIMITER = ';');
  CREATE DOMAIN boxed AS box;
  CREATE TYPE loud AS ENUM ('quiet', 'loud');
  CREATE FUNCTION to_json(loud) RETURNS json LANGUAGE sql IMMUTABLE AS $$ SELECT json_build_object('is', $1::text) $$;
  CREATE CAST (loud AS json) WITH FUNCTION to_json(loud);
  CREATE DOMAIN louder AS loud;
  CREATE TYPE speaker AS (volume louder[]);
  CREATE TYPE relabelled AS ENUM ('a');
  CREATE CAST (relabelled AS json) WITH INOUT;
  CREATE TYPE cast_in_vain AS (a integer);
  CREATE FUNCTION to_json(cast_in_vain) RETURNS json LANGUAGE sql IMMUTABLE AS $$ SELECT '"never"'::json $$;
  CREATE CAST (cast_in_vain AS json) WITH FUNCTION to_json(cast_in_vain);
  CREATE FUNCTION to_json(point) RETURNS json LANGUAGE sql IMMUTABLE AS $$ SELECT '"never"'::json $$;
  CREATE CAST (point AS json) WITH FUNCTION to_json(point);
  CREATE TABLE made (id integer PRIMARY KEY, moods mood[], at timestamptz);
  CREATE EXTENSION hstore;
  CREATE EXTENSION citext;
  CREATE EXTENSION ltree;
  CREATE DOMAIN settings AS hstore;
  CREATE TYPE with_settings AS (all_of settings[], one hstore);
  CREATE TABLE wide (id bigint PRIMARY KEY, title varchar(200), "key with blanks" text, price numeric, ratio float8,
    is_done boolean, at timestamptz, tags text[], pair pair, mood mood, "Mood" mood[], doc json, docb jsonb, owner oid,
    raw bytea, code char(80), flags varbit(90), span interval, deep deep, home box[]);
  CREATE FUNCTION jsonb_of(j text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
    BEGIN RETURN j::jsonb::text; EXCEPTION WHEN OTHERS THEN RETURN NULL; END $$;)";

class Database {
 public:
  Database() : connection_(loop_.open()) {
    if (ask("SELECT FROM pg_namespace WHERE nspname = $1", {kSchema}).command_tag() == "SELECT 0") {
      testing::PostgresCluster::shared().sql("CREATE SCHEMA " + kQuotedSchema + "; SET search_path TO " +
                                             kQuotedSchema + ", public;" + kMakeTypes);
    }
    ask("SET search_path TO " + kQuotedSchema + ", public");
  }

  postgres::Rows ask(std::string sql, std::vector<std::optional<std::string>> parameters = {}) {
    return ask(
        postgres::Statement{.sql = std::move(sql), .parameters = std::move(parameters), .plan = postgres::Plan::kOnce});
  }
  postgres::Rows ask(postgres::Statement statement) {
    postgres::Batch batch;
    batch.limits = {.rows = 100'000, .bytes = std::size_t{256} << 20};
    batch.statements = {std::move(statement)};
    auto reply = loop_.run(connection_->run(std::move(batch)));
    REQUIRE_MESSAGE(reply, reply.error().message);
    return std::move(reply->back());
  }

  // With all that they are made of.
  Types types(const std::vector<Oid>& oids) {
    Types out;
    read_types(ask(types_statement(oids)), out);
    return out;
  }

 private:
  PostgresLoop loop_;
  std::unique_ptr<postgres::Connection> connection_;
};

Oid oid_at(const postgres::Rows& rows, std::size_t row, std::size_t column = 0) {
  return static_cast<Oid>(std::stoul(std::string(rows.text(row, column).value())));
}

// What a column can be declared as, but for the rows of system tables.
std::vector<Oid> all_types(Database& database) {
  const auto rows = database.ask(
      "SELECT t.oid FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.typtype <> 'p' AND "
      "t.typcategory <> 'P' AND (n.nspname = $1 OR n.nspname = 'pg_catalog' AND t.typtype <> 'c' AND NOT "
      "EXISTS (SELECT FROM pg_type e WHERE e.oid = t.typelem AND e.typtype IN ('c', 'p'))) ORDER BY t.oid",
      {kSchema});
  std::vector<Oid> out;
  for (std::size_t row = 0; row < rows.size(); ++row) out.push_back(oid_at(rows, row));
  return out;
}

// --- Values of types that are made of others, as SQL takes them

std::string in_quotes(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

class ValuesOf {
 public:
  ValuesOf(const Types& types, unsigned seed) : types_(types), random_(seed) {}

  // nullopt: nobody knows any.
  std::optional<std::string> type(Oid oid, int depth = 0) {
    const Type* const type = types_.find(oid);
    REQUIRE(type != nullptr);
    switch (type->kind) {
      case TypeKind::kDomain:
        return this->type(type->base, depth);
      case TypeKind::kComposite:
        return composite(*type, depth);
      default:
        if (auto made = of_user(type->name)) return made;
        if (auto made = random_.of_type(type->name)) return made;
        return type->element != 0 ? array(*type, depth) : std::nullopt;
    }
  }
  RandomValues& random() { return random_; }

 private:
  static constexpr int kDepthMax = 8;

  std::optional<std::string> of_user(std::string_view name) {
    if (name == "mood")
      return random_.one_of<std::string>(
          {"fine", "so so", "with \"quotes\"", "back\\slash", "", "NULL", "a,b", "(x)", "schön 😀"});
    if (name == "relabelled") return "a";
    if (name == "semicolon") return random_.text();
    if (name == "float_range") return random_.range_of_wholes();
    if (name == "float_multirange") return "{" + random_.range_of_wholes() + "}";
    return std::nullopt;
  }
  std::optional<std::string> composite(const Type& type, int depth) {
    std::string out = "(";
    for (std::size_t i = 0; i < type.fields.size(); ++i) {
      if (i > 0) out += ',';
      if (depth > kDepthMax || random_.happens(6)) continue;
      const auto field = this->type(type.fields[i].type, depth + 1);
      if (!field) return std::nullopt;
      out += in_quotes(*field);
    }
    return out + ")";
  }
  // All arrays of one level have the same size, and none within another is empty.
  std::optional<std::string> array(const Type& type, int depth) {
    std::vector<int> sizes(random_.happens(4) ? static_cast<std::size_t>(2 + random_.number(2)) : 1);
    for (int& size : sizes) size = random_.number(3) + (sizes.size() > 1 ? 1 : 0);
    const auto out = level(type, sizes, depth);
    if (!out || sizes[0] == 0 || !random_.happens(4)) return out;
    std::string bounds;
    for (const int size : sizes) {
      const int from = random_.number(7) - 3;
      bounds += "[" + std::to_string(from) + ":" + std::to_string(from + size - 1) + "]";
    }
    return bounds + "=" + *out;
  }
  std::optional<std::string> level(const Type& type, std::span<const int> sizes, int depth) {
    std::string out = "{";
    for (int i = 0; i < sizes[0]; ++i) {
      if (i > 0) out += type.delimiter;
      if (sizes.size() == 1 && random_.happens(6)) {
        out += "NULL";
        continue;
      }
      const auto part = sizes.size() > 1 ? level(type, sizes.subspan(1), depth) : this->type(type.element, depth + 1);
      if (!part) return std::nullopt;
      out += sizes.size() > 1 ? *part : in_quotes(*part);
    }
    return out + "}";
  }

  const Types& types_;
  RandomValues random_;
};

// --- Comparing

// What Postgres' jsonb of a value is in a column, where that is something else (postgres-changes.md 9).
std::string as_column(Oid type, std::string_view text, std::string jsonb) {
  if (changes::is_number(type) && jsonb.starts_with('"')) return "null";
  if (type == changes::kByteaOid && text.starts_with("\\x")) return "\"" + std::string(text.substr(2)) + "\"";
  return jsonb;
}

// False: there are no values of the type.
bool compare(Database& database, const Types& types, ValuesOf& values, const Type& type) {
  CAPTURE(type.name);
  ArrayText texts;
  std::size_t count = 0;
  for (std::size_t bytes = 0; count < kValuesOfEach && bytes < kBytesOfEach; ++count) {
    const auto text = values.type(type.oid);
    if (!text) return false;
    texts.add(*text);
    bytes += text->size();
  }
  const auto rows = database.ask(
      "SELECT v, pg_catalog.to_jsonb(v)::text FROM pg_catalog.unnest($1::text[]) AS t (text), LATERAL (SELECT "
      "t.text::" +
          type.sql_name + ") AS l (v)",
      {texts.take()});
  REQUIRE(rows.size() == count);
  for (std::size_t row = 0; row < rows.size(); ++row) {
    const std::string_view text = rows.text(row, 0).value();
    const std::string expected(rows.text(row, 1).value());
    CAPTURE(text);
    std::string nested;
    changes::append_nested_json(nested, types, type.oid, text);
    CHECK(nested == expected);
    std::string column;
    changes::append_json(column, types, type.oid, text);
    CHECK(column == as_column(type.oid, text, expected));
  }
  return true;
}

TEST_CASE("values of every type, however made, are told as Postgres would convert them [PC-034] [PC-041] [PC-042]") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  Database database;
  const std::vector<Oid> all = all_types(database);
  const Types types = database.types(all);
  ValuesOf values(types, seed);
  database.ask("SET IntervalStyle = " +
               values.random().one_of<std::string>({"postgres", "postgres_verbose", "sql_standard", "iso_8601"}));

  std::set<std::string> for_postgres;
  std::set<std::string> without_values;
  int compared = 0;
  for (const Oid oid : all) {
    const Type* const type = types.find(oid);
    REQUIRE(type != nullptr);
    if (changes::needs_conversion(types, oid)) {
      for_postgres.insert(type->name);
    } else if (compare(database, types, values, *type)) {
      ++compared;
    } else {
      without_values.insert(type->name);
    }
  }
  CHECK(compared > 200);
  CHECK(for_postgres == std::set<std::string>{"hstore", "settings", "with_settings", "loud", "louder", "speaker",
                                              "_hstore", "_settings", "_with_settings", "_loud", "_louder",
                                              "_speaker"});
  // What no column has, or none can be written to.
  for (const std::string& name : without_values)
    CHECK_MESSAGE((name.starts_with("pg_") || name.find("gtsvector") != std::string::npos ||
                   name.find("ghstore") != std::string::npos || name.find("ltree_gist") != std::string::npos),
                  name);
}

TEST_CASE("times have the offset of the database's time zone, whatever that was at the time [PC-034] [PC-039]") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  Database database;
  const auto oids = database.ask(
      "SELECT unnest('{timestamptz,timestamptz[],instant,instant[],tstzrange,timetz,timestamp}'::regtype[])::oid");
  std::vector<Oid> all;
  for (std::size_t row = 0; row < oids.size(); ++row) all.push_back(oid_at(oids, row));
  const Types types = database.types(all);
  ValuesOf values(types, seed);
  for (const std::string zone : {"UTC", "Europe/Amsterdam", "America/St_Johns", "Asia/Kolkata", "Asia/Kathmandu",
                                 "Pacific/Apia", "Africa/Monrovia"}) {
    CAPTURE(zone);
    database.ask("SET TimeZone = '" + zone + "'");
    for (const Oid oid : all) CHECK(compare(database, types, values, *types.find(oid)));
  }
}

TEST_CASE("json columns are told as jsonb would write them, or as they are where it cannot [PC-034] [PC-040]") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  RandomValues values(seed);
  Database database;
  ArrayText texts;
  std::vector<std::string> documents;
  for (int i = 0; i < kDocuments; ++i) {
    documents.push_back(values.white_space() + values.json(RandomValues::Json::kAny) + values.white_space());
    texts.add(documents.back());
  }
  const auto rows =
      database.ask("SELECT jsonb_of(t) FROM unnest($1::text[]) WITH ORDINALITY AS d (t, n) ORDER BY n", {texts.take()});
  REQUIRE(rows.size() == documents.size());
  int without = 0;
  for (std::size_t i = 0; i < documents.size(); ++i) {
    const auto expected = rows.text(i, 0);
    CAPTURE(documents[i]);
    const auto normal = changes::normalised_json(documents[i]);
    REQUIRE(normal.has_value() == expected.has_value());
    if (!normal) {
      ++without;
      continue;
    }
    REQUIRE(*normal == *expected);
    CHECK(changes::normalised_json(*normal) == *normal);
  }
  CHECK(without > 0);
}

// --- Whole rows

changes::Table read_table(Database& database) {
  changes::Table out{.oid = 1, .schema = kSchema, .name = "wide"};
  const auto rows = database.ask(
      "SELECT a.attname, a.attnum, a.atttypid, t.typname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a "
      "JOIN "
      "pg_type t ON t.oid = a.atttypid WHERE a.attrelid = 'wide'::regclass AND a.attnum > 0 ORDER BY a.attnum");
  for (std::size_t row = 0; row < rows.size(); ++row) {
    out.columns.push_back({.name = std::string(rows.text(row, 0).value()),
                           .number = static_cast<std::int16_t>(row + 1),
                           .type = oid_at(rows, row, 2),
                           .type_name = std::string(rows.text(row, 3).value()),
                           .type_text = std::string(rows.text(row, 4).value()),
                           .is_primary_key = row == 0});
  }
  out.primary_key = {0};
  return out;
}

// Writes a row of random values.
void insert(Database& database, const changes::Table& table, const Types& types, ValuesOf& values, int id) {
  std::string sql = "INSERT INTO wide VALUES (" + std::to_string(id);
  std::vector<std::optional<std::string>> parameters;
  for (std::size_t i = 1; i < table.columns.size(); ++i) {
    parameters.emplace_back();
    if (!values.random().happens(6)) parameters.back() = values.type(table.columns[i].type);
    sql += ", $" + std::to_string(i) + "::" + types.find(table.columns[i].type)->sql_name;
  }
  database.ask({.sql = sql + ")", .parameters = std::move(parameters)});
}

changes::Values read_values(const postgres::Rows& rows, std::size_t row, std::size_t columns) {
  changes::Values out;
  for (std::size_t i = 0; i < columns; ++i) {
    const auto text = rows.text(row, i);
    out.push_back({text ? changes::Value::Kind::kText : changes::Value::Kind::kNull, text.value_or("")});
  }
  return out;
}

// As an output plugin writes it from which the reference server makes jsonb (postgres-changes.md 8.6).
std::string decoded(const changes::Change& change) {
  const changes::Table& table = *change.table;
  std::string columns;
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    const changes::TableColumn& column = table.columns[i];
    const changes::Value& value = change.row[i];
    const bool is_number = changes::is_number(column.type) || column.type == changes::kOidOid;
    std::string json =
        json::quoted(value.text.substr(column.type == changes::kByteaOid && !value.text.empty() ? 2 : 0));
    if (is_number) json = changes::is_no_finite_number(value.text) ? "null" : std::string(value.text);
    if (column.type == changes::kBoolOid) json = value.text == "t" ? "true" : "false";
    if (value.kind == changes::Value::Kind::kNull) json = "null";
    columns += (i == 0 ? "" : ",") + std::string(R"({"name":)") + json::quoted(column.name) + R"(,"type":)" +
               (column.type_text.ends_with('"') ? column.type_text : json::quoted(column.type_text)) +
               R"(,"typeoid":)" + std::to_string(column.type) + R"(,"value":)" + json + "}";
  }
  return R"({"action":"I","timestamp":"2000-01-01 00:00:01.5+00","schema":)" + json::quoted(table.schema) +
         R"(,"table":"wide","columns":[)" + columns + R"(],"pk":[{"name":"id","type":"bigint","typeoid":20}]})";
}

TEST_CASE("a row is told as Postgres would convert it, and as large as it says [PC-034] [PC-047] [PC-105]") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  Database database;
  database.ask("TRUNCATE wide");
  const auto table = std::make_shared<const changes::Table>(read_table(database));
  const std::size_t columns = table->columns.size();
  std::vector<Oid> oids;
  for (const auto& column : table->columns) oids.push_back(column.type);
  const Types types = database.types(oids);
  ValuesOf values(types, seed);
  for (int id = 0; id < kRows; ++id) insert(database, *table, types, values, id);

  // In a column bytes have no prefix, and what is no finite number is null.
  const auto rows = database.ask(
      "SELECT w.*, (to_jsonb(w) || jsonb_build_object('raw', encode(raw, 'hex'), 'price', nullif(nullif(nullif(price, "
      "'NaN'), 'Infinity'), '-Infinity'), 'ratio', nullif(nullif(nullif(ratio, 'NaN'), 'Infinity'), "
      "'-Infinity')))::text "
      "FROM wide w ORDER BY id");
  REQUIRE(rows.size() == kRows);
  for (std::size_t row = 0; row < rows.size(); ++row) {
    const changes::Change change{.action = changes::Action::kInsert,
                                 .table = table,
                                 .row = read_values(rows, row, columns),
                                 .committed_micros = 1'500'000};
    CAPTURE(rows.text(row, columns).value());
    const std::string data =
        changes::RenderedChange(change, types, std::size_t{1} << 30).data(changes::Shown(columns, true));
    REQUIRE(json::walk_document(data));
    CHECK(json::Value(data).member("record").value().text() == rows.text(row, columns).value());
    const auto size = database.ask("SELECT octet_length($1::jsonb::text)", {decoded(change)});
    CHECK(std::to_string(changes::decoded_bytes(change)) == size.text(0, 0).value());
    CHECK(changes::decoded_bytes_bound(change) >= changes::decoded_bytes(change));
  }
}

}  // namespace
}  // namespace rt::database
