#include "domain/changes/filter_text.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "domain/changes/runtime_notation.h"

namespace rt::changes {
namespace {

// What Unicode calls white space.
constexpr std::string_view kSpaces[] = {
    " ",      "\t",     "\n",     "\v",     "\f",     "\r",     "\u0085", "\u00a0", "\u1680",
    "\u2000", "\u2001", "\u2002", "\u2003", "\u2004", "\u2005", "\u2006", "\u2007", "\u2008",
    "\u2009", "\u200a", "\u2028", "\u2029", "\u202f", "\u205f", "\u3000",
};

template <class Is>
std::size_t bytes_of_space(Is is) {
  const auto* const found = std::ranges::find_if(kSpaces, is);
  return found == std::end(kSpaces) ? 0 : found->size();
}

std::string_view trimmed(std::string_view text) {
  while (const std::size_t bytes = bytes_of_space([&](std::string_view space) { return text.starts_with(space); }))
    text.remove_prefix(bytes);
  while (const std::size_t bytes = bytes_of_space([&](std::string_view space) { return text.ends_with(space); }))
    text.remove_suffix(bytes);
  return text;
}

tl::unexpected<std::string> refuse(std::string reason) { return tl::make_unexpected(std::move(reason)); }

// Shows the parts in which a condition was understood, and which are not what they should be.
tl::unexpected<std::string> refuse_parts(const std::vector<std::string>& parts) {
  return refuse(shortened(inspected(parts), kShownBytesMax));
}

// A value is in quotes only where the quote ends with it; else the quotes are part of it.
std::string unquoted(std::string_view value) {
  if (!value.starts_with('"')) return std::string(value);
  std::string out;
  std::size_t at = 1;
  for (; at < value.size() && value[at] != '"'; ++at) {
    if (value[at] == '\\') ++at;
    if (at < value.size()) out += value[at];
  }
  return at + 1 == value.size() ? out : std::string(value);
}

Result<Filter, std::string> parse_condition(std::string_view condition) {
  const std::size_t equals = condition.find('=');
  if (equals == std::string_view::npos) return refuse_parts({std::string(condition)});
  Filter out{.column = std::string(condition.substr(0, equals))};
  std::string_view rest = condition.substr(equals + 1);
  constexpr std::string_view kNot = "not.";
  if (rest.starts_with(kNot)) {
    out.is_negated = true;
    rest.remove_prefix(kNot.size());
  }
  const std::size_t dot = rest.find('.');
  if (dot == std::string_view::npos) return refuse_parts({std::string(rest)});
  const std::string_view value = rest.substr(dot + 1);
  const auto op = op_named(rest.substr(0, dot));
  if (!op) return refuse_parts({std::string(rest.substr(0, dot)), std::string(value)});
  out.op = *op;
  if (out.op != Op::kIn) {
    out.value = unquoted(value);
  } else if (value.starts_with('(') && value.ends_with(')')) {
    out.value.append("{").append(value.substr(1, value.size() - 2)).append("}");
  } else {
    return refuse("`in` filter value must be wrapped by parentheses");
  }
  return out;
}

}  // namespace

std::vector<std::string_view> split_filter(std::string_view filter) {
  std::vector<std::string_view> out;
  std::size_t begin = 0;
  int depth = 0;
  bool is_quoted = false;
  for (std::size_t i = 0; i < filter.size(); ++i) {
    const char c = filter[i];
    if (is_quoted) {
      if (c == '\\') ++i;
      is_quoted = c != '"';
    } else if (c == '"') {
      is_quoted = i > begin && std::string_view(".(,").find(filter[i - 1]) != std::string_view::npos;
    } else if (c == '(') {
      ++depth;
    } else if (c == ')') {
      depth = std::max(depth - 1, 0);
    } else if (c == ',' && depth == 0) {
      out.push_back(filter.substr(begin, i - begin));
      begin = i + 1;
    }
  }
  out.push_back(filter.substr(begin));
  return out;
}

Result<std::vector<Filter>, std::string> parse_filter(std::string_view filter) {
  if (filter.size() > kFilterBytesMax)
    return refuse("filter must not be longer than " + std::to_string(kFilterBytesMax) + " bytes");
  if (filter.find('\0') != std::string_view::npos) return refuse("filter must not contain NUL characters");
  if (trimmed(filter).empty()) return std::vector<Filter>{};
  std::vector<std::string_view> conditions = split_filter(filter);
  std::ranges::transform(conditions, conditions.begin(), trimmed);
  if (std::ranges::find(conditions, "") != conditions.end())
    return refuse("filter must not contain empty segments (check for extra commas)");
  if (conditions.size() > kConditionsMax)
    return refuse("filter must not have more than " + std::to_string(kConditionsMax) + " conditions");
  std::vector<Filter> out;
  for (const std::string_view condition : conditions) {
    auto parsed = parse_condition(condition);
    if (!parsed) return refuse(std::move(parsed.error()));
    out.push_back(*std::move(parsed));
  }
  return out;
}

}  // namespace rt::changes
