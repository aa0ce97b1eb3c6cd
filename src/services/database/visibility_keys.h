// The primary keys of some rows of a table, and how Postgres is asked for which of them there is a row that may be
// seen. Whoever is asked about the same rows shares them.
//
// What might tell of a row before the policies have let it pass may not be used to find it, so a comparison that may
// fail cannot use an index, and all rows of the table would be put to the policies. Any cast from text may fail. A key
// of one column whose text is the same in every session goes in as an array, whose cast is done before the planner
// looks, and comes back as text: then Postgres is free to begin with an index of what the policies compare, so that the
// rows that somebody may see are found without a look at the others.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "io/postgres/batch.h"
#include "io/postgres/rows.h"
#include "services/database/change_catalog.h"

namespace rt::database {

class VisibilityKeys {
 public:
  using Key = std::vector<std::string>;  // as Postgres writes its columns, in their order

  // No two are the same.
  VisibilityKeys(std::shared_ptr<const CatalogTable> table, std::vector<Key> keys);

  const CatalogTable& table() const { return *table_; }
  const Key& key(std::size_t place) const { return keys_[place]; }
  std::size_t size() const { return keys_.size(); }
  std::size_t bytes() const { return bytes_; }  // of a question

  // They come back as text, and a plan that reads the whole table is out of the question.
  bool is_by_value() const { return is_by_value_; }
  const postgres::Statement& look_for_all() const { return all_; }
  // By the index of the primary key, where there can be one.
  postgres::Statement look_for(std::size_t place) const;

  // Marks those of which `rows`, the answer to look_for_all(), has some. `is_visible` is as large as this is.
  void take_all(const postgres::Rows& rows, std::vector<bool>& is_visible) const;

 private:
  postgres::Statement by_value() const;
  postgres::Statement by_place(std::size_t begin, std::size_t end) const;

  const std::shared_ptr<const CatalogTable> table_;
  const std::vector<Key> keys_;
  const bool is_by_value_;
  const postgres::Statement all_;
  std::size_t bytes_ = 0;
  std::unordered_map<std::string_view, std::size_t> place_of_;  // by value
};

}  // namespace rt::database
