#include "services/database/row_visibility.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <set>

#include "base/clock.h"
#include "base/random.h"
#include "testing/postgres_loop.h"

namespace rt::database {
namespace {

using testing::PostgresCluster;
using testing::PostgresLoop;

// A table with policies and those who look at it.
class Eyes {
 public:
  Eyes(const std::string& name, const std::string& columns)
      : pool_(loop_.surroundings, PostgresLoop::settings(), {}, clock_, random_), catalog_(pool_, clock_), name_(name) {
    sql("DROP TABLE IF EXISTS " + name + "; DROP ROLE IF EXISTS watcher; CREATE ROLE watcher; CREATE TABLE " + name +
        " (" + columns + "); ALTER TABLE " + name + " ENABLE ROW LEVEL SECURITY; GRANT SELECT ON " + name +
        " TO watcher");
  }
  ~Eyes() {
    loop_.run(pool_.stop());
    sql("DROP TABLE " + name_ + "; DROP ROLE watcher");
  }

  static std::string sql(const std::string& text) { return PostgresCluster::shared().sql(text); }

  // Those of the keys of which each of them, who have these claims, sees a row.
  std::vector<std::set<VisibilityKeys::Key>> seen_by(const std::vector<std::string>& claims,
                                                     const std::vector<VisibilityKeys::Key>& keys) {
    const auto oid = static_cast<changes::Oid>(std::stoul(sql("SELECT '" + name_ + "'::regclass::oid")));
    REQUIRE(loop_.run(catalog_.load({oid})));
    const auto table = std::make_shared<const CatalogTable>(*catalog_.find(oid));
    const auto all = std::make_shared<const VisibilityKeys>(table, keys);
    std::vector<VisibilityQuestion> questions;
    for (const std::string& text : claims)
      questions.push_back({.viewer = std::make_shared<const Viewer>(Viewer{.role = "watcher", .claims = text}),
                           .keys = all,
                           .is_visible = {}});
    postgres::Event stopped(loop_.io);
    const auto asked = loop_.run(ask_visibility(pool_, loop_.io, clock_, stopped, {}, {}, questions,
                                                [this](std::string_view code, const std::string&) { said_ = code; }));
    REQUIRE(asked);
    std::vector<std::set<VisibilityKeys::Key>> out(claims.size());
    for (std::size_t i = 0; i < claims.size(); ++i) {
      for (std::size_t place = 0; place < keys.size(); ++place) {
        if (questions[i].is_visible[place]) out[i].insert(keys[place]);
      }
    }
    return out;
  }
  std::set<VisibilityKeys::Key> seen(const std::string& claims, const std::vector<VisibilityKeys::Key>& keys) {
    return seen_by({claims}, keys).front();
  }
  const std::string& said() const { return said_; }

 private:
  PostgresLoop loop_;
  SystemClock clock_;
  SystemRandom random_;
  postgres::Pool pool_;
  ChangeCatalog catalog_;
  const std::string name_;
  std::string said_;
};

using Keys = std::set<VisibilityKeys::Key>;

TEST_CASE("rows are looked for by keys of any type, alone or together [PC-054]") {
  // The type, and what a first and a second row have.
  const std::vector<std::vector<std::string>> types = {
      {"bigint", "1", "-9223372036854775808"},
      {"integer", "1", "2"},
      {"smallint", "1", "2"},
      {"oid", "1", "4294967295"},
      {"uuid", "00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b"},
      {"text", "a", R"(x, "y" \ {z} NULL)"},
      {"text", "", "NULL"},
      {"varchar(3)", "abc", "ü"},
      {"char(3)", "a  ", "abc"},
      {"numeric(10,2)", "1.50", "2.00"},
      {"bytea", "\\x00ff", "\\x"},
      {"boolean", "t", "f"},
      {"timestamptz", "2024-02-29 10:34:56.1+00", "infinity"},
      {"date", "2024-02-29", "0044-03-15 BC"},
      {"integer[]", "{1,2}", "{}"},
      {"int4range", "[1,5)", "empty"}};
  for (const auto& one : types) {
    CAPTURE(one.front());
    Eyes eyes("seen_alone", "k " + one[0] + " PRIMARY KEY, owner text");
    Eyes::sql(
        "CREATE POLICY own ON seen_alone USING (owner = current_setting('request.jwt.claims')::jsonb ->> 'sub');"
        "INSERT INTO seen_alone VALUES ($k$" +
        one[1] + "$k$, 'ann'), ($k$" + one[2] + "$k$, 'bob')");
    CHECK(eyes.seen(R"({"sub":"ann"})", {{one[1]}, {one[2]}}) == Keys{{one[1]}});
    CHECK(eyes.seen(R"({"sub":"bob"})", {{one[1]}, {one[2]}}) == Keys{{one[2]}});
    CHECK(eyes.seen(R"({"sub":"eve"})", {{one[1]}, {one[2]}}).empty());
    CHECK(eyes.said().empty());
  }
  Eyes eyes("seen_together", "a integer, b numeric, c text, owner text, PRIMARY KEY (c, a, b)");
  Eyes::sql(
      "CREATE POLICY own ON seen_together USING (owner = current_setting('request.jwt.claims')::jsonb ->> 'sub');"
      "INSERT INTO seen_together VALUES (1, 2, 'x', 'ann'), (2, 1, 'x', 'ann'), (1, 1, 'x', 'bob')");
  CHECK(eyes.seen(R"({"sub":"ann"})", {{"1", "2", "x"}, {"2", "1", "x"}, {"1", "1", "x"}, {"2", "2", "x"}}) ==
        Keys{{"1", "2", "x"}, {"2", "1", "x"}});
}

TEST_CASE("rows are found without a look at others, however small or large the table [PC-070]") {
  for (const char* type : {"bigint", "timestamptz"}) {
    for (const int rows : {10, 3'000}) {
      CAPTURE(type);
      CAPTURE(rows);
      Eyes eyes("seen_sparsely", std::string("k ") + type + " PRIMARY KEY, n int NOT NULL");
      const std::string made = std::string(type) == "bigint" ? "i" : "to_timestamp(i)";
      Eyes::sql("INSERT INTO seen_sparsely SELECT " + made + ", i FROM generate_series(1, " + std::to_string(rows) +
                ") AS i; ANALYZE seen_sparsely;"
                "CREATE POLICY odd ON seen_sparsely USING (CASE WHEN n = 7 THEN 1 / (n - 7) = 1 ELSE n % 2 = 1 END)");
      const auto key = [&](int n) {
        return VisibilityKeys::Key{Eyes::sql("SELECT k FROM seen_sparsely WHERE n = " + std::to_string(n))};
      };
      CHECK(eyes.seen("{}", {key(1), key(2), key(3)}) == Keys{key(1), key(3)});
      CHECK(eyes.said().empty());
      // The policy raises for one of them.
      CHECK(eyes.seen("{}", {key(5), key(7), key(8), key(9)}) == Keys{key(5), key(9)});
      CHECK(eyes.said() == "RlsPolicyError");
      // However many they are.
      Eyes::sql("DROP POLICY odd ON seen_sparsely; CREATE POLICY odd ON seen_sparsely USING (n % 2 = 1 AND 1 / n < 2)");
      std::vector<VisibilityKeys::Key> all;
      Keys expected;
      for (int n = 1; n <= std::min(rows, 100); ++n) {
        all.push_back(key(n));
        if (n % 2 == 1) expected.insert(all.back());
      }
      CHECK(eyes.seen("{}", all) == expected);
    }
  }
}

TEST_CASE("what a policy remembers of one user, even for the session, is nothing to the next") {
  for (const char* local : {"true", "false"}) {
    CAPTURE(local);
    Eyes eyes("seen_afresh", "k bigint PRIMARY KEY, owner text");
    Eyes::sql(
        "CREATE OR REPLACE FUNCTION remembered() RETURNS text LANGUAGE sql VOLATILE AS $$ SELECT CASE WHEN "
        "coalesce(current_setting('my.user', true), '') = '' THEN set_config('my.user', "
        "current_setting('request.jwt.claims')::jsonb ->> 'sub', " +
        std::string(local) +
        ") ELSE current_setting('my.user') END $$;"
        "CREATE POLICY own ON seen_afresh USING (owner = remembered());"
        "INSERT INTO seen_afresh VALUES (1, 'ann'), (2, 'bob'), (3, 'eve')");
    const std::vector<VisibilityKeys::Key> keys = {{"1"}, {"2"}, {"3"}};
    const std::vector<Keys> expected = {{{"1"}}, {{"2"}}, {}, {{"3"}}};
    CHECK(eyes.seen_by({R"({"sub":"ann"})", R"({"sub":"bob"})", R"({"sub":"joe"})", R"({"sub":"eve"})"}, keys) ==
          expected);
    // Nor where one of them is in error, and they are asked again.
    Eyes::sql(
        "CREATE POLICY odd ON seen_afresh AS RESTRICTIVE USING "
        "(current_setting('request.jwt.claims')::jsonb ->> 'sub' <> 'bob' OR 1 / (k - 2) < 5)");
    CHECK(eyes.seen_by({R"({"sub":"ann"})", R"({"sub":"bob"})", R"({"sub":"joe"})", R"({"sub":"eve"})"}, keys) ==
          std::vector<Keys>{{{"1"}}, {}, {}, {{"3"}}});
    CHECK(eyes.said() == "RlsPolicyError");
  }
  Eyes::sql("DROP FUNCTION remembered()");
}

}  // namespace
}  // namespace rt::database
