// What keeps a tenant's database from serving: every right, role, object and setting that is missing, and what mends
// it.
//
// Looks only; whatever is to be changed is for who runs the database to decide.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "io/postgres/connection.h"
#include "io/postgres/task.h"

namespace rt::app {

enum class Severity : std::uint8_t {
  kNote,     // it may be meant so, which only the owner of the tables knows; nothing is to be done without looking
  kWarning,  // it serves, or will, but not for long, not everything or not as safely as it could
  kError,
};

struct Finding {
  std::string id;  // "wal_level"; stays the same from version to version
  Severity severity = Severity::kError;
  std::string problem;         // one sentence
  std::string remedy;          // what to do, in words
  std::string sql{};           // mends it, run by a superuser in that database; empty: SQL cannot
  bool needs_restart = false;  // of the database server, after the SQL
};

struct Diagnosis {
  std::string server{};             // "PostgreSQL 15.8"; empty: there was no connection
  std::vector<Finding> findings{};  // in the order in which to mend them
  int checked = 0;                  // how many things were looked at
};

// What the tenant wants of its database.
struct DatabaseNeeds {
  std::string publication = "supabase_realtime";
  std::size_t connections = 0;       // at a time, WAL senders not among them
  std::size_t free_connections = 0;  // before any is made
  bool slots_stay = false;           // they outlive their connections whatever the database allows them to keep
};

postgres::Task<Diagnosis> diagnose(postgres::Surroundings surroundings, postgres::ConnectionSettings settings,
                                   DatabaseNeeds needs);

}  // namespace rt::app
