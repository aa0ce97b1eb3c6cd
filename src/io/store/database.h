// What the statements of the control store run on: a connection to SQLite or to Postgres. Both take the same SQL, but
// for a few words (Dialect).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "io/store/store.h"

namespace rt::store {

// In the order of $1, $2, ...; each of them has to occur first in that order. nullopt: NULL.
using Parameters = std::vector<std::optional<std::string>>;

// One row of a result, read column by column from left to right. NULL reads as nullopt.
class Row {
 public:
  virtual ~Row() = default;
  virtual std::optional<std::string> optional_text() = 0;
  std::optional<std::int64_t> optional_integer();
  std::optional<bool> optional_boolean();
  std::string text() { return optional_text().value_or(""); }
  std::int64_t integer() { return optional_integer().value_or(0); }
};

struct Dialect {
  std::string_view now;  // the time, UTC
  // Stand before and behind a time that is to read as `2023-01-01T00:00:00`.
  std::string_view before_time;
  std::string_view behind_time;
  // Statements with one parameter, its name, that keep all others from changing a tenant.
  std::vector<std::string> lock_tenant;
};

enum class Access : std::uint8_t { kRead, kWrite };

class Database {
 public:
  using Work = std::function<Result<void>()>;
  using OnRow = std::function<void(Row&)>;

  virtual ~Database() = default;

  virtual const Dialect& dialect() const = 0;
  virtual Result<void> set_up() = 0;
  // Does `work`, whose statements find a connection; of kWrite all take effect or none. A connection that is lost
  // meanwhile is made again and the work done again, once: it must have the same effect when it is done twice.
  virtual Result<void> with(Access access, const Work& work) = 0;
  // Within with(): one statement. Gives how many rows it has changed. `doing` begins the error: "reading tenants from".
  virtual Result<std::int64_t> run(const std::string& sql, const Parameters& parameters, std::string_view doing,
                                   const OnRow& on_row) = 0;
  // The rest is as the control store has it.
  virtual Result<bool> has_changed() = 0;
  virtual bool is_shared() const = 0;
  virtual Failure last_failure() const = 0;
  virtual void interrupt() = 0;
};

}  // namespace rt::store
