// One value as JSON: Postgres' text of it, turned into what its conversion to jsonb would give (postgres-changes.md 9).
#pragma once

#include <string>
#include <string_view>

#include "domain/changes/table.h"

namespace rt::changes {

// Types may be made of others: arrays, composite types, domains. What is deeper is a string.
inline constexpr int kTypeDepthMax = 32;
// Of brackets and braces in a value, so that whoever reads a message need not go too deep.
inline constexpr int kValueDepthMax = 480;

// Only Postgres can convert values of this type: there is a cast to json, of itself or of what it is made of.
bool needs_conversion(const Types& types, Oid type);

// As a column of a row. The text is Postgres' output for the type, in UTF-8, with ISO dates and hexadecimal bytea. Text
// that is not what the type writes becomes a string: it never fails.
void append_json(std::string& out, const Types& types, Oid type, std::string_view text);

// The same as an element of an array, a field of a composite or a value of a domain.
void append_nested_json(std::string& out, const Types& types, Oid type, std::string_view text);

}  // namespace rt::changes
