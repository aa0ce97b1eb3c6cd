#include "services/database/visibility_keys.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "services/database/asking_as.h"
#include "services/database/replication_slot.h"

namespace rt::database {
namespace {

// bigint, smallint, integer, text, oid, varchar and uuid: no setting changes how they are written, one text stands for
// one value, and their equality is leakproof.
constexpr changes::Oid kPlainTypes[] = {20, 21, 23, 25, 26, 1043, 2950};

constexpr std::size_t kMany = 32;

bool is_plain(const changes::Table& table) {
  return table.primary_key.size() == 1 &&
         std::ranges::find(kPlainTypes, table.columns[table.primary_key.front()].type) != std::end(kPlainTypes);
}

}  // namespace

VisibilityKeys::VisibilityKeys(std::shared_ptr<const CatalogTable> table, std::vector<Key> keys)
    : table_(std::move(table)),
      keys_(std::move(keys)),
      is_by_value_(is_plain(*table_->table)),
      all_(is_by_value_ ? by_value() : by_place(0, keys_.size())) {
  bytes_ = all_.sql.size();
  for (const auto& parameter : all_.parameters) bytes_ += parameter->size();
  for (std::size_t place = 0; is_by_value_ && place < keys_.size(); ++place)
    place_of_.emplace(keys_[place].front(), place);
}

postgres::Statement VisibilityKeys::look_for(std::size_t place) const { return by_place(place, place + 1); }

void VisibilityKeys::take_all(const postgres::Rows& rows, std::vector<bool>& is_visible) const {
  for (std::size_t row = 0; row < rows.size(); ++row) {
    const std::string_view text = rows.text(row, 0).value_or("");
    if (is_by_value_) {
      if (const auto found = place_of_.find(text); found != place_of_.end()) is_visible[found->second] = true;
      continue;
    }
    std::size_t number = 0;  // from 1
    std::from_chars(text.data(), text.data() + text.size(), number);
    if (number > 0 && number <= is_visible.size()) is_visible[number - 1] = true;
  }
}

// How many rows there are for each of the keys is estimated key by key. That is not worth it for many, and not done
// where they are the result of something.
postgres::Statement VisibilityKeys::by_value() const {
  const std::size_t place = table_->table->primary_key.front();
  const std::string column = "r." + identifier(table_->table->columns[place].name);
  const std::string type = table_->sql.types[place] + "[]";
  const std::string array = "$1::" + type;
  ArrayText values;
  for (const Key& key : keys_) values.add(key.front());
  return {.sql = "SELECT " + column + "::pg_catalog.text FROM " + table_->sql.name + " AS r WHERE " + column + " " +
                 table_->sql.key_equality.front() + " ANY (" +
                 (keys_.size() < kMany ? array : "(SELECT " + array + ")::" + type) + ")",
          .parameters = {values.take()}};
}

// The keys are cast by themselves, where OFFSET keeps the planner from moving that into the comparison. LIMIT keeps it
// from a join with the whole table, in which the policies would have to look at rows that nobody asks for, and might
// raise for one of them. Where the equality itself might tell of a row (that of numeric does), all of them are looked
// at in any case, so that is done once for all keys.
postgres::Statement VisibilityKeys::by_place(std::size_t begin, std::size_t end) const {
  const changes::Table& table = *table_->table;
  postgres::Statement out;
  std::string arrays;
  std::string names;
  std::string casts;
  std::string conditions;
  for (std::size_t i = 0; i < table.primary_key.size(); ++i) {
    const std::size_t place = table.primary_key[i];
    const std::string number = std::to_string(i + 1);
    const std::string name = "k" + number;
    arrays += (i > 0 ? ", pg_catalog.unnest($" : "pg_catalog.unnest($") + number + "::pg_catalog.text[])";
    names += name + ", ";
    casts += "u." + name + "::" + table_->sql.types[place] + " AS " + name + ", ";
    conditions += (i > 0 ? " AND r." : "r.") + identifier(table.columns[place].name) + " " +
                  table_->sql.key_equality[i] + " k." + name;
    ArrayText values;
    for (std::size_t key = begin; key < end; ++key) values.add(keys_[key][i]);
    out.parameters.emplace_back(values.take());
  }
  const std::string row = "(SELECT FROM " + table_->sql.name + " AS r WHERE " + conditions;
  out.sql = "SELECT k.n FROM (SELECT " + casts + "u.n FROM ROWS FROM (" + arrays + ") WITH ORDINALITY AS u (" + names +
            "n) OFFSET 0) AS k" +
            (table_->sql.is_key_leakproof ? ", LATERAL " + row + " LIMIT 1) AS seen" : " WHERE EXISTS " + row + ")");
  return out;
}

}  // namespace rt::database
