// What one element of postgres_changes asks for: which actions on which tables, which rows of them, which columns
// (protocol.md 7.1 to 7.6).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "domain/changes/change.h"

namespace rt::changes {

// In the order of realtime.equality_op.
enum class Op : std::uint8_t { kEq, kNeq, kLt, kLte, kGt, kGte, kIn, kLike, kIlike, kIs, kMatch, kImatch, kIsDistinct };
std::string_view name_of(Op op);  // as filters spell it
std::optional<Op> op_named(std::string_view name);

struct Filter {
  std::string column;
  Op op = Op::kEq;
  std::string value;  // of kIn: an array literal, `{a,b}`
  bool is_negated = false;
  bool operator==(const Filter&) const = default;
};

struct Request {
  std::optional<Action> action;                     // nullopt: all of them
  std::string schema;                               // `*`: every one; else as LIKE has it, without an escape character
  std::string table;                                // likewise
  std::vector<Filter> filters;                      // all have to match
  std::optional<std::vector<std::string>> columns;  // nullopt: all; never empty
  bool operator==(const Request&) const = default;

  bool wants(Action of) const { return !action || *action == of; }
};

// `entry`: a JSON object. The error is what the client is told.
Result<Request, std::string> parse_request(std::string_view entry);

// `event: *, schema: public, table: todos, filters: [{"id", "eq", "5", false}], select: nil`, as the texts of 7.6 have
// it between brackets.
std::string describe(const Request& request);

// Whether a name is one that the pattern of a request stands for: `*` every one, else `_` any character and `%` any
// sequence of them. Both in UTF-8.
bool is_named_by(std::string_view pattern, std::string_view name);

}  // namespace rt::changes
