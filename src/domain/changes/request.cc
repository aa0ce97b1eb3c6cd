#include "domain/changes/request.h"

#include <utility>

#include "domain/changes/filter_text.h"
#include "domain/changes/runtime_notation.h"
#include "protocol/json/value.h"

namespace rt::changes {
namespace {

constexpr std::string_view kEvery = "*";
constexpr std::size_t kNameBytesMax = 1024;       // of schema and table: 63 are a name, and a pattern may be longer
constexpr std::size_t kColumnsMax = 1600;         // as many as a table of Postgres can have
constexpr std::size_t kColumnBytesMax = 1 << 17;  // of the names of all of them

tl::unexpected<std::string> refuse(std::string text) { return tl::make_unexpected(std::move(text)); }
tl::unexpected<std::string> refuse_select(const std::string& reason) {
  return refuse("Error parsing `select` params: " + reason);
}

// What an entry says; of several members of one name the last.
struct Members {
  std::optional<json::Value> event{};
  std::optional<json::Value> schema{};
  std::optional<json::Value> table{};
  std::optional<json::Value> filter{};
  std::optional<json::Value> select{};
  bool has_secret = false;
};

// Once through the entry, which may be large.
Members members_of(json::Value entry) {
  Members out;
  const std::pair<std::string_view, std::optional<json::Value>*> known[] = {{"event", &out.event},
                                                                            {"schema", &out.schema},
                                                                            {"table", &out.table},
                                                                            {"filter", &out.filter},
                                                                            {"select", &out.select}};
  for (json::Elements members(entry); const auto value = members.next();) {
    const std::string name = json::unescape(members.key());
    for (const auto& [known_name, member] : known) {
      if (name == known_name) *member = value;
    }
    out.has_secret = out.has_secret || name == "user_token" || name == "auth_token";
  }
  return out;
}

// Anything else than the three means all of them.
std::optional<Action> action_of(const std::optional<json::Value>& event) {
  std::string name = event && event->is_string() ? *event->string() : "";
  for (char& c : name) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  for (const Action action : {Action::kInsert, Action::kUpdate, Action::kDelete}) {
    if (name_of(action) == name) return action;
  }
  return std::nullopt;
}

// A filter needs both names, and without a filter one of them is enough. What is there has to be a text.
bool is_allowed_combination(const Members& members) {
  for (const auto* member : {&members.schema, &members.table, &members.filter}) {
    if (*member && !(*member)->is_string()) return false;
  }
  return members.filter ? members.schema && members.table : members.schema || members.table;
}

std::vector<std::string> texts_of(json::Value list) {
  std::vector<std::string> out;
  for (json::Elements elements(list); const auto element = elements.next();) {
    if (auto text = element->string()) out.push_back(*std::move(text));
  }
  return out;
}

std::optional<std::string> fault_of(const std::vector<std::string>& columns) {
  std::size_t bytes = 0;
  for (const std::string& column : columns) {
    bytes += column.size();
    if (column.find('\0') != std::string::npos) return "column names must not contain NUL characters";
  }
  if (columns.size() > kColumnsMax)
    return "there must not be more than " + std::to_string(kColumnsMax) + " column names";
  if (bytes > kColumnBytesMax)
    return "column names must not be longer than " + std::to_string(kColumnBytesMax) + " bytes together";
  return std::nullopt;
}

}  // namespace

std::string_view name_of(Op op) {
  constexpr std::string_view kNames[] = {"eq",   "neq",   "lt", "lte",   "gt",     "gte",       "in",
                                         "like", "ilike", "is", "match", "imatch", "isdistinct"};
  return kNames[static_cast<std::size_t>(op)];
}

std::optional<Op> op_named(std::string_view name) {
  for (int i = 0; i <= static_cast<int>(Op::kIsDistinct); ++i) {
    if (name_of(static_cast<Op>(i)) == name) return static_cast<Op>(i);
  }
  return std::nullopt;
}

Result<Request, std::string> parse_request(std::string_view entry) {
  const Members members = members_of(json::Value(entry));
  if (members.select && members.select->is_string())
    return refuse_select("expected a list of column name strings, e.g. select: [\"col1\", \"col2\"]");
  if (!is_allowed_combination(members))
    return refuse("No subscription params provided. Please provide at least a `schema` or `table` to subscribe to: " +
                  (members.has_secret ? "<redacted>" : inspected(json::Value(entry), kShownBytesMax)));

  Request out{.action = action_of(members.event),
              .schema = members.schema ? *members.schema->string() : "public",
              .table = members.table ? *members.table->string() : std::string(kEvery)};
  if (out.schema.size() > kNameBytesMax || out.table.size() > kNameBytesMax)
    return refuse("`schema` and `table` must not be longer than " + std::to_string(kNameBytesMax) + " bytes");
  if (members.filter) {
    auto filters = parse_filter(*members.filter->string());
    if (!filters) return refuse("Error parsing `filter` params: " + filters.error());
    out.filters = *std::move(filters);
  }
  if (!members.select || !members.select->is_array()) return out;

  std::vector<std::string> columns = texts_of(*members.select);
  if (columns.empty()) return out;
  if (out.schema == kEvery || out.table == kEvery)
    return refuse(
        "Column selection is not supported for wildcard subscriptions. Provide an explicit schema and table name.");
  if (const auto fault = fault_of(columns)) return refuse_select(*fault);
  out.columns = std::move(columns);
  return out;
}

std::string describe(const Request& request) {
  std::string out = "event: ";
  out.append(request.action ? name_of(*request.action) : kEvery);
  out.append(", schema: ").append(request.schema).append(", table: ").append(request.table).append(", filters: [");
  const std::string_view separator = ", ";
  for (const Filter& filter : request.filters) {
    if (&filter != &request.filters.front()) out.append(separator);
    out += '{';
    append_inspected(out, filter.column);
    append_inspected(out.append(separator), name_of(filter.op));
    append_inspected(out.append(separator), filter.value);
    out.append(separator).append(filter.is_negated ? "true}" : "false}");
  }
  return out.append("], select: ").append(request.columns ? inspected(*request.columns) : "nil");
}

bool is_named_by(std::string_view pattern, std::string_view name) {
  if (pattern == kEvery) return true;
  const auto next_character = [&](std::size_t at) {
    for (++at; at < name.size() && (static_cast<unsigned char>(name[at]) & 0xc0) == 0x80;) ++at;
    return at;
  };
  // Where to try again when the rest does not fit: the last `%` takes one character more. Those before it need not
  // change, as what stands between them and it was found as early as it could be.
  std::optional<std::size_t> behind_percent;
  std::size_t taken_until = 0;
  std::size_t at = 0;
  std::size_t in_name = 0;
  while (in_name < name.size()) {
    const char wanted = at < pattern.size() ? pattern[at] : '\0';
    if (wanted == '%') {
      behind_percent = ++at;
      taken_until = in_name;
    } else if (wanted == '_') {
      ++at;
      in_name = next_character(in_name);
    } else if (at < pattern.size() && wanted == name[in_name]) {
      ++at;
      ++in_name;
    } else if (behind_percent) {
      at = *behind_percent;
      in_name = taken_until = next_character(taken_until);
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('%', at) == std::string_view::npos;
}

}  // namespace rt::changes
