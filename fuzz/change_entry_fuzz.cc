// Any JSON object is an entry of postgres_changes: it is understood or refused with a text that can be shown, and what
// was understood means the same when it is written anew. Names are matched as the definition of LIKE has it.

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/utf8.h"
#include "domain/changes/filter_text.h"
#include "domain/changes/request.h"
#include "domain/changes/runtime_notation.h"
#include "protocol/json/value.h"

namespace {

using namespace rt;
using namespace rt::changes;

constexpr std::size_t kErrorBytesMax = 5'000;

std::vector<std::string_view> characters(std::string_view text) {
  std::vector<std::string_view> out;
  for (std::size_t i = 0, end; i < text.size(); i = end) {
    for (end = i + 1; end < text.size() && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80;) ++end;
    out.push_back(text.substr(i, end - i));
  }
  return out;
}

// matches[n]: what was seen of the pattern fits the first n characters of the name.
bool is_named_by_definition(std::string_view pattern, std::string_view name) {
  if (pattern == "*") return true;
  const auto letters = characters(name);
  std::vector<bool> matches(letters.size() + 1, false);
  matches[0] = true;
  for (const std::string_view wanted : characters(pattern)) {
    std::vector<bool> next(letters.size() + 1, false);
    for (std::size_t n = 0; n <= letters.size(); ++n) {
      if (wanted == "%") {
        next[n] = matches[n] || (n > 0 && next[n - 1]);
      } else {
        next[n] = n > 0 && matches[n - 1] && (wanted == "_" || wanted == letters[n - 1]);
      }
    }
    matches = std::move(next);
  }
  return matches.back();
}

// Few characters, so that names and patterns have something in common.
std::string spelled(std::string_view bytes, std::initializer_list<std::string_view> letters) {
  std::string out;
  for (const char byte : bytes.substr(0, 40)) out += letters.begin()[static_cast<unsigned char>(byte) % letters.size()];
  return out;
}

void check_names(std::string_view input) {
  const std::size_t half = input.size() / 2;
  const std::string pattern = spelled(input.substr(0, half), {"a", "%", "_", "b", "é", "%", "😀"});
  const std::string name = spelled(input.substr(half), {"a", "b", "é", "a", "_", "b", "😀"});
  RT_CHECK(is_named_by(pattern, name) == is_named_by_definition(pattern, name));
  RT_CHECK(is_named_by(name, name) && is_named_by(pattern, pattern));
}

// Joined they are the filter again; and each by itself means what it means among the others.
void check_filter(const std::string& filter) {
  if (filter.size() > kFilterBytesMax) return;
  const auto conditions = split_filter(filter);
  std::string joined;
  for (const std::string_view& condition : conditions) {
    joined.append(&condition == &conditions.front() ? "" : ",").append(condition);
    RT_CHECK(split_filter(condition) == std::vector{condition});
  }
  RT_CHECK(joined == filter);
  const auto all = parse_filter(filter);
  if (!all || all->empty()) return;
  RT_CHECK(all->size() == conditions.size() && all->size() <= kConditionsMax);
  for (std::size_t i = 0; i < conditions.size(); ++i) {
    const auto alone = parse_filter(conditions[i]);
    RT_CHECK(alone && *alone == std::vector{(*all)[i]});
  }
}

// The condition with its value in quotes. A column whose name has what begins quotes, or changes a depth, can only be
// written as it was.
bool can_be_written_anew(const Filter& filter) { return filter.column.find_first_of("\"(),") == std::string::npos; }
std::string written_anew(const Filter& filter) {
  std::string out = filter.column + (filter.is_negated ? "=not." : "=");
  out.append(name_of(filter.op)) += '.';
  if (filter.op == Op::kIn) return out + "(" + filter.value.substr(1, filter.value.size() - 2) + ")";
  out += '"';
  for (const char c : filter.value) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

void check_request(const Request& request) {
  RT_CHECK(is_valid_utf8(describe(request)));
  RT_CHECK(!request.columns || (!request.columns->empty() && request.schema != "*" && request.table != "*"));
  std::string filter;
  for (const Filter& one : request.filters) {
    RT_CHECK(one.op != Op::kIn || (one.value.starts_with('{') && one.value.ends_with('}') && one.value.size() >= 2));
    RT_CHECK(one.column.find('\0') == std::string::npos && one.value.find('\0') == std::string::npos);
    if (!can_be_written_anew(one)) return;
    filter.append(filter.empty() ? "" : ",").append(written_anew(one));
  }
  if (filter.size() > kFilterBytesMax) return;
  std::string entry = "{";
  if (request.action) entry.append("\"event\":").append(json::quoted(name_of(*request.action))) += ',';
  entry += "\"schema\":" + json::quoted(request.schema) + ",\"table\":" + json::quoted(request.table);
  if (!filter.empty()) entry += ",\"filter\":" + json::quoted(filter);
  if (request.columns) {
    for (std::size_t i = 0; i < request.columns->size(); ++i)
      entry.append(i == 0 ? ",\"select\":[" : ",").append(json::quoted((*request.columns)[i]));
    entry += ']';
  }
  entry += '}';
  const auto again = parse_request(entry);
  RT_CHECK(again && *again == request);
  RT_CHECK(describe(*again) == describe(request));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  check_names(text);
  const auto document = json::walk_document(text);
  if (!document || document->type != json::Type::kObject) return 0;
  const json::Value entry(document->text);
  const auto request = parse_request(document->text);
  if (request) {
    check_request(*request);
  } else {
    RT_CHECK(!request.error().empty() && request.error().size() <= kErrorBytesMax);
    RT_CHECK(is_valid_utf8(request.error()));
  }
  if (const auto filter = entry.member("filter"); filter && filter->is_string()) check_filter(*filter->string());
  const std::string shown = inspected(entry, 100);
  RT_CHECK(is_valid_utf8(shown) && shown.size() <= 103);
  return 0;
}
