// Values as keys: bytes that are equal where Postgres calls the values equal, and for most types in the same order.
//
// Two texts of one value may differ: 1.50 and 1.5, -0 and 0, one instant in two time zones, the blanks behind a
// char(n), `t` of a row and `true` of a cast. Their keys do not. So one comparison of bytes decides every operator, and
// one hash table and one tree find what is subscribed. Types without keys are left to Postgres.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "domain/changes/condition.h"
#include "domain/changes/table.h"

namespace rt::changes {

enum class KeyKind : std::uint8_t {
  kNone,     // only Postgres can compare
  kText,     // text, varchar, name
  kBlanked,  // char(n), whose trailing blanks mean nothing
  kEnum,
  kBool,
  kInteger,
  kNumeric,
  kFloat4,
  kFloat8,
  kUuid,
  kMac,
  kLsn,
  kAddress,  // inet, cidr
  kDate,
  kTime,
  kTimestamp,  // with or without time zone
  kBytea,
};

// Of a type that is no domain.
KeyKind key_kind(const Types& types, Oid type);

// The order of the keys is that of the values, too.
bool is_ordered(KeyKind kind, const TextRules& rules);

// `text` is what Postgres writes for a value, or for its cast to text. The key is `text`, a part of it, or made in
// `room`. nullopt: that is nothing that the type writes.
std::optional<std::string_view> key_of(KeyKind kind, std::string_view text, std::string& room);

// NaN, Infinity or -Infinity of a number that has these.
bool is_no_number(std::string_view text);

// Values of the type may depend on when their text is read: `now`, `today`, `tomorrow`, `yesterday`.
bool may_depend_on_time(KeyKind kind);

// The same for the text, where the type allows it: one of the words is there, however it is quoted.
bool mentions_time(std::string_view text);

}  // namespace rt::changes
