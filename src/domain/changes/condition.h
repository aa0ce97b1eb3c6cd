// What a subscription asks of one column, as the database has accepted it.
#pragma once

#include <string>

#include "domain/changes/request.h"

namespace rt::changes {

// A filter that the database has accepted, with its value as the column's type writes it. `value` of the filter is
// what the client wrote.
struct Condition {
  Filter filter;
  std::string canonical;
  bool operator==(const Condition&) const = default;
};

// What the database is like in which texts are compared.
struct TextRules {
  // Texts are in the order of their bytes in UTF-8: the default collation is C, POSIX, C.UTF-8 or pg_c_utf8, and so
  // is the encoding.
  bool orders_by_bytes = false;
  bool folds_ascii_plainly = false;  // letter case of ASCII as in C, not as in Turkish
};

}  // namespace rt::changes
