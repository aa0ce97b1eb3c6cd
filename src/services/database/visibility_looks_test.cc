#include "services/database/visibility_looks.h"

#include <doctest/doctest.h>

#include <random>
#include <set>

namespace rt::database {
namespace {

using ViewerRef = std::shared_ptr<const Viewer>;

// With a key of so many columns, all text.
std::shared_ptr<const CatalogTable> table(const std::string& name, std::size_t columns = 1) {
  changes::Table out{.oid = 1, .schema = "public", .name = name};
  CatalogTable facts{.table = nullptr, .sql = {.name = "public." + name}};
  for (std::size_t i = 0; i < columns; ++i) {
    out.columns.push_back({.name = "c" + std::to_string(i), .type = 25});
    out.primary_key.push_back(i);
    facts.sql.types.emplace_back("text");
    facts.sql.key_equality.emplace_back("OPERATOR(pg_catalog.=)");
  }
  facts.table = std::make_shared<const changes::Table>(std::move(out));
  return std::make_shared<const CatalogTable>(std::move(facts));
}

std::vector<ViewerRef> viewers(std::size_t count) {
  std::vector<ViewerRef> out;
  for (std::size_t i = 0; i < count; ++i)
    out.push_back(std::make_shared<const Viewer>(Viewer{.role = "authenticated", .claims = std::to_string(i)}));
  return out;
}

std::size_t add(VisibilityLooks& looks, const std::shared_ptr<const CatalogTable>& of, VisibilityKeys::Key key,
                const std::vector<ViewerRef>& who) {
  return looks.add(of, std::move(key), who.size(), [&](std::size_t i) -> const ViewerRef& { return who[i]; });
}

void answer(std::vector<VisibilityQuestion>& questions, bool is_visible) {
  for (VisibilityQuestion& question : questions) question.is_visible.assign(question.keys->size(), is_visible);
}

TEST_CASE("everybody is asked once about all rows of a batch, and all about the same [PC-074]") {
  VisibilityLooks looks;
  const auto messages = table("messages");
  const auto people = viewers(3);
  for (int row = 0; row < 10; ++row) add(looks, messages, {std::to_string(row)}, people);
  const auto& questions = looks.questions();
  REQUIRE(questions.size() == 3);
  CHECK(questions[0].keys->size() == 10);
  CHECK(questions[0].keys == questions[1].keys);
  CHECK(questions[0].keys == questions[2].keys);
}

TEST_CASE("a row that changes several times is looked for once, whoever is told of which change") {
  VisibilityLooks looks;
  const auto messages = table("messages");
  const auto people = viewers(2);
  const std::size_t first = add(looks, messages, {"7"}, {people[0], people[0]});
  const std::size_t other = add(looks, messages, {"8"}, people);
  const std::size_t again = add(looks, messages, {"7"}, people);
  auto& questions = looks.questions();
  REQUIRE(questions.size() == 2);
  CHECK(questions[0].keys->size() == 2);
  CHECK(questions[1].keys->size() == 2);
  answer(questions, false);
  questions[0].is_visible[0] = true;
  questions[1].is_visible[1] = true;
  CHECK(looks.is_visible(first, 0));
  CHECK(looks.is_visible(first, 1));
  CHECK_FALSE(looks.is_visible(other, 0));
  CHECK(looks.is_visible(other, 1));
  CHECK(looks.is_visible(again, 0));
  CHECK_FALSE(looks.is_visible(again, 1));
}

TEST_CASE("keys of several columns are not taken for others that read alike") {
  VisibilityLooks looks;
  const auto seats = table("seats", 2);
  const auto people = viewers(1);
  add(looks, seats, {"a", "b:c"}, people);
  add(looks, seats, {"a:b", "c"}, people);
  add(looks, seats, {"a1:", "b"}, people);
  CHECK(looks.questions().front().keys->size() == 3);
}

TEST_CASE("whoever is asked about whatever gets their own answers, however rows and people are mixed") {
  const auto seed = std::random_device()();
  CAPTURE(seed);
  std::mt19937 random(seed);
  const auto below = [&](std::size_t limit) { return static_cast<std::size_t>(random() % limit); };
  for (int round = 0; round < 50; ++round) {
    VisibilityLooks looks;
    const auto tables = {table("one"), table("two", 2)};
    const auto people = viewers(1 + below(6));
    // By table, key and person.
    std::set<std::tuple<std::string, VisibilityKeys::Key, std::string>> visible;
    struct Expected {
      std::shared_ptr<const CatalogTable> of;
      VisibilityKeys::Key key;
      std::vector<ViewerRef> who;
    };
    std::vector<Expected> rows;
    for (std::size_t row = below(40); row > 0; --row) {
      Expected one{.of = *(tables.begin() + below(2))};
      for (std::size_t i = 0; i < one.of->table->primary_key.size(); ++i) one.key.push_back(std::to_string(below(12)));
      for (std::size_t i = 1 + below(8); i > 0; --i) one.who.push_back(people[below(people.size())]);
      CHECK(add(looks, one.of, one.key, one.who) == rows.size());
      for (const ViewerRef& person : people) {
        if (below(2) == 0) visible.emplace(one.of->sql.name, one.key, person->claims);
      }
      rows.push_back(std::move(one));
    }
    if (rows.empty()) continue;
    for (VisibilityQuestion& question : looks.questions()) {
      std::set<VisibilityKeys::Key> asked;
      for (std::size_t place = 0; place < question.keys->size(); ++place) {
        const VisibilityKeys::Key& key = question.keys->key(place);
        CHECK(asked.insert(key).second);
        question.is_visible.push_back(
            visible.contains({question.keys->table().sql.name, key, question.viewer->claims}));
      }
    }
    for (std::size_t row = 0; row < rows.size(); ++row) {
      const auto& [of, key, who] = rows[row];
      for (std::size_t i = 0; i < who.size(); ++i)
        CHECK(looks.is_visible(row, i) == visible.contains({of->sql.name, key, who[i]->claims}));
    }
  }
}

}  // namespace
}  // namespace rt::database
