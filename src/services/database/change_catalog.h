// What the catalog of a tenant's database says of the tables whose rows are told: which there are, their columns, types
// and keys, and what the roles of clients may read of them.
//
// It is asked when a table is seen first or has changed, and again while rows flow and what is known is a second old: a
// privilege that was taken, or row level security that was switched on, counts from then on. While nothing flows
// nothing is asked.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "domain/changes/table.h"
#include "io/postgres/pool.h"

namespace rt::database {

struct PublishedTable {
  changes::Oid oid = 0;
  std::string schema;
  std::string name;
};

// The tables of a publication, without those of the server itself. A publication that is not there has none.
postgres::Task<postgres::Result<std::vector<PublishedTable>>> find_published_tables(postgres::Pool& pool,
                                                                                    std::string publication);

// How SQL refers to a table that is looked into as somebody else, for whom a name may mean something else.
struct TableSql {
  std::string name;                       // with its schema, quoted
  std::string owner;                      // a role
  std::vector<std::string> types;         // of each column, for a cast: without length or precision
  std::vector<std::string> key_equality;  // of each column of the primary key: `OPERATOR(pg_catalog.=)`
  bool is_key_leakproof = false;  // all of it is, so that an index may find a row before the policies have seen it
  bool operator==(const TableSql&) const = default;
};

struct CatalogTable {
  std::shared_ptr<const changes::Table> table;
  TableSql sql;
};

class ChangeCatalog {  // loop-bound
 public:
  static constexpr std::chrono::seconds kFresh{1};

  ChangeCatalog(postgres::Pool& pool, const Clock& clock) : pool_(pool), clock_(clock) {}

  // Null: not loaded, or not there when it was. Valid until it is loaded again.
  const CatalogTable* find(changes::Oid table) const;
  // It was there once, and is found as it was then.
  bool is_gone(changes::Oid table) const;
  // All types that occur in tables that were loaded. Pointers into it may change with each load.
  const changes::Types& types() const { return types_; }
  // By place in the columns: whether the role may read it. A role or a table that is not known may read nothing.
  const std::vector<bool>& readable(const std::string& role, const changes::Table& table) const;

  // Asks for those, whatever is known. What has become of a table is told by find().
  postgres::Task<postgres::Result<void>> load(std::vector<changes::Oid> tables);
  // Asks for those that are not fresh, and for what the roles may read of them. Returns those that are not what they
  // were. Of those that have gone what was known stays, rights included.
  postgres::Task<postgres::Result<std::vector<changes::Oid>>> refresh(std::vector<changes::Oid> tables,
                                                                      std::set<std::string> roles);
  void forget(changes::Oid table);

 private:
  struct Known {
    CatalogTable facts;
    Time loaded_at{};
    bool is_gone = false;
  };
  struct Readable {
    std::vector<bool> columns;
    std::shared_ptr<const changes::Table> of;
    Time loaded_at{};
  };

  postgres::Task<postgres::Result<void>> load_rights(std::vector<changes::Oid> tables, std::set<std::string> roles);

  postgres::Pool& pool_;
  const Clock& clock_;
  changes::Types types_;
  std::unordered_map<changes::Oid, Known> tables_;
  std::unordered_map<changes::Oid, std::map<std::string, Readable>> rights_;  // by table, then role
};

}  // namespace rt::database
