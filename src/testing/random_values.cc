#include "testing/random_values.h"

#include <functional>
#include <map>

namespace rt::testing {
namespace {

using Make = std::function<std::string(RandomValues&)>;

// As many as there may be, between braces.
Make many(const Make& one) {
  return [one](RandomValues& v) {
    std::string out = "{";
    for (int i = v.number(4); i > 0; --i) out += one(v) + (i > 1 ? "," : "");
    return out + "}";
  };
}

Make one_of(std::initializer_list<const char*> all) {
  return [all = std::vector<std::string>(all.begin(), all.end())](RandomValues& v) {
    return all[static_cast<std::size_t>(v.number(static_cast<int>(all.size())))];
  };
}

Make separated_by_blanks(const Make& one) {
  return [one](RandomValues& v) {
    std::string out;
    for (int i = v.number(5); i > 0; --i) out += one(v) + (i > 1 ? " " : "");
    return out;
  };
}

const std::map<std::string, Make, std::less<>>& generators() {
  using V = RandomValues;
  const Make text = [](V& v) { return v.text(); };
  const Make wholes = [](V& v) { return v.range_of_wholes(); };
  const Make days = [](V& v) { return v.range_of_days(); };
  const Make moments = [](V& v) { return v.range_of_moments(); };
  const Make json = [](V& v) { return v.json(V::Json::kForJsonb); };
  const Make snapshot = one_of({"10:20:10,14,15", "1:1:"});
  static const std::map<std::string, Make, std::less<>> kAll = {
      {"bool", one_of({"t", "f"})},
      {"bytea", [](V& v) { return "\\x" + v.hex(v.number(20)); }},
      {"char", one_of({"a", "\"", "\\", ",", " ", "7", "\n"})},
      {"name", text},
      {"text", text},
      {"varchar", text},
      {"bpchar", [](V& v) { return v.text(6) + "  "; }},
      {"citext", text},
      {"refcursor", text},
      {"int2", [](V& v) { return v.whole(4); }},
      {"int4", [](V& v) { return v.happens(9) ? "2147483647" : v.whole(8); }},
      {"int8", [](V& v) { return v.happens(9) ? "-9223372036854775808" : v.whole(17); }},
      {"float4", [](V& v) { return v.floating(25); }},
      {"float8", [](V& v) { return v.floating(280); }},
      {"numeric", [](V& v) { return v.exact(); }},
      {"money", [](V& v) { return v.decimal(); }},
      {"int2vector", separated_by_blanks([](V& v) { return v.whole(3); })},
      {"oidvector", separated_by_blanks([](V& v) { return v.digits(5); })},
      {"oid", [](V& v) { return v.happens(5) ? "4294967295" : v.digits(9); }},
      {"tid", [](V& v) { return "(" + v.digits(3) + "," + v.digits(2) + ")"; }},
      {"xid", [](V& v) { return v.digits(9); }},
      {"cid", [](V& v) { return v.digits(9); }},
      {"xid8", [](V& v) { return v.digits(18); }},
      {"pg_lsn", [](V& v) { return v.hex(3) + "/" + v.hex(4); }},
      {"txid_snapshot", snapshot},
      {"pg_snapshot", snapshot},
      {"json", json},
      {"jsonb", json},
      {"jsonpath", one_of({"$.a[*] ? (@ > 1)", "strict $.\"a b\".size()", "$"})},
      {"xml", [](V& v) { return "<a b=\"" + v.digits(2) + "\">" + v.digits(2) + " &amp; \\ é</a>"; }},
      {"date", [](V& v) { return v.date(); }},
      {"time", [](V& v) { return v.time_of_day(); }},
      {"timetz", [](V& v) { return v.time_of_day() + v.one_of<std::string>({"+00", "-03:30", "+05:45", "+14"}); }},
      {"timestamp", [](V& v) { return v.timestamp(); }},
      {"timestamptz", [](V& v) { return v.timestamp(); }},
      {"interval", [](V& v) { return v.interval(); }},
      {"bit", [](V& v) { return v.bits(v.number(20)); }},
      {"varbit", [](V& v) { return v.bits(v.number(20)); }},
      {"uuid", [](V& v) { return v.hex(16); }},
      {"macaddr", [](V& v) { return v.hex(6); }},
      {"macaddr8", [](V& v) { return v.hex(8); }},
      {"inet",
       [](V& v) { return v.happens(2) ? "10.2.0." + std::to_string(v.number(256)) + "/24" : "fe80::" + v.hex(2); }},
      {"cidr", [](V& v) { return "10." + std::to_string(v.number(256)) + ".0.0/16"; }},
      {"point", [](V& v) { return v.point(); }},
      {"lseg", [](V& v) { return "[" + v.point() + "," + v.point() + "]"; }},
      {"path", [](V& v) { return v.happens(2) ? "[" + v.point() + "]" : "(" + v.point() + "," + v.point() + ")"; }},
      {"box", [](V& v) { return v.point() + "," + v.point(); }},
      {"polygon", [](V& v) { return "(" + v.point() + "," + v.point() + "," + v.point() + ")"; }},
      {"line", [](V& v) { return "{1," + v.decimal() + "," + v.decimal() + "}"; }},
      {"circle", [](V& v) { return "<" + v.point() + "," + v.digits(2) + ">"; }},
      {"tsvector", [](V& v) { return "fat:1" + v.digits(2) + "A cat 'a ''b'' \\\\ c':2,3"; }},
      {"tsquery", one_of({"'fat' & !'rat':ab", "a <-> 'b c'", "''''"})},
      {"aclitem", one_of({"=r/postgres", "postgres=arwd/postgres"})},
      {"regproc", one_of({"now", "0", "pg_catalog.version"})},
      {"regprocedure", one_of({"now()", "0", "abs(integer)"})},
      {"regoper", one_of({"||/"})},
      {"regoperator", one_of({"+(integer,integer)", "*(money,float8)"})},
      {"regclass", one_of({"pg_class", "pg_catalog.pg_type"})},
      {"regtype", one_of({"integer", "\"char\"", "timestamptz[]"})},
      {"regconfig", one_of({"simple", "english"})},
      {"regdictionary", one_of({"simple"})},
      {"regnamespace", one_of({"pg_catalog", "public"})},
      {"regrole", one_of({"postgres"})},
      {"regcollation", one_of({"\"C\"", "\"default\""})},
      {"int4range", wholes},
      {"int8range", wholes},
      {"numrange", wholes},
      {"daterange", days},
      {"tsrange", moments},
      {"tstzrange", moments},
      {"int4multirange", many(wholes)},
      {"int8multirange", many(wholes)},
      {"nummultirange", many(wholes)},
      {"datemultirange", many(days)},
      {"tsmultirange", many(moments)},
      {"tstzmultirange", many(moments)},
      {"ltree", one_of({"", "a.b.c", "Top.x_1"})},
      {"lquery", one_of({"*.a.*{1,2}", "!b.*"})},
      {"ltxtquery", one_of({"a & b*", "!c"})},
  };
  return kAll;
}

}  // namespace

std::optional<std::string> RandomValues::of_type(std::string_view name) {
  const auto found = generators().find(name);
  if (found == generators().end()) return std::nullopt;
  return found->second(*this);
}

std::string RandomValues::digits(int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out += static_cast<char>('0' + number(10));
  return out;
}

std::string RandomValues::two_digits(int below, int from) {
  const std::string out = std::to_string(from + number(below));
  return out.size() == 1 ? "0" + out : out;
}

std::string RandomValues::text(int parts_max) {
  if (happens(12)) return one_of<std::string>({"NULL", "null", "", "()", "{}", "t", "NaN", "Infinity"});
  std::string out;
  for (int i = number(parts_max); i > 0; --i) {
    out +=
        happens(3)
            ? one_of<std::string>({"\"",       "\\",     ",",      "{",  "}",  "(",    ")",    " ",    "\t",
                                   "\n",       "\r",     "\b",     "\f", "'",  "\\x",  "NULL", "null", ";",
                                   ":",        "/",      "é",      "€",  "😀", "\x01", "\x1f", "\x7f", "\xef\xbf\xbd",
                                   "\xc2\xa0", "[1:2]=", "\\u0041"})
            : std::string(1, static_cast<char>('a' + number(26)));
  }
  return out;
}

std::string RandomValues::whole(int digits_max) {
  return sign() + std::to_string(number(9) + 1) + digits(number(digits_max));
}

std::string RandomValues::decimal() {
  return sign() + std::to_string(number(100)) + (happens(2) ? "." + digits(2) : "");
}

std::string RandomValues::exact() {
  if (happens(8)) return one_of<std::string>({"NaN", "Infinity", "-Infinity", "0", "0.000", "-0.0", "1.10", "1e3"});
  return whole(happens(10) ? 200 : 25) + (happens(2) ? "." + digits(1 + number(40)) : "") +
         (happens(5) ? "e" + sign() + std::to_string(number(60)) : "");
}

std::string RandomValues::floating(int exponent_max) {
  if (happens(8)) return one_of<std::string>({"NaN", "Infinity", "-Infinity", "0", "-0", "1e-7", "1e15", "1e16"});
  return whole(9) + (happens(2) ? "." + digits(1 + number(17)) : "") +
         (happens(2) ? "e" + sign() + std::to_string(number(exponent_max)) : "");
}

std::string RandomValues::date() {
  if (happens(12)) return one_of<std::string>({"infinity", "-infinity", "0044-03-15 BC", "4713-11-24 BC"});
  const std::string year = happens(8)   ? std::to_string(10'000 + number(200'000))
                           : happens(4) ? "18" + two_digits(100)
                                        : "20" + two_digits(100);
  return year + "-" + two_digits(12, 1) + "-" + two_digits(28, 1);
}

std::string RandomValues::time_of_day() {
  return two_digits(24) + ":" + two_digits(60) + ":" + two_digits(60) + (happens(2) ? "." + digits(1 + number(6)) : "");
}

std::string RandomValues::timestamp() {
  const std::string day = date();
  if (day.ends_with("infinity")) return day;
  if (day.ends_with(" BC")) return "0044-03-15 " + time_of_day() + " BC";
  return day + " " + time_of_day();
}

std::string RandomValues::interval() {
  return whole(2) + " years " + whole(2) + " months " + whole(3) + " days " + sign() + time_of_day();
}

std::string RandomValues::hex(int bytes) {
  std::string out;
  for (int i = 0; i < 2 * bytes; ++i) out += "0123456789abcdef"[number(16)];
  return out;
}

std::string RandomValues::bits(int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out += happens(2) ? '0' : '1';
  return out;
}

std::string RandomValues::point() { return "(" + decimal() + "," + decimal() + ")"; }

std::string RandomValues::range_of_wholes() {
  if (happens(10)) return "empty";
  std::string low = whole(4);
  std::string high = whole(4);
  if (std::stoi(low) > std::stoi(high)) std::swap(low, high);
  return one_of<std::string>({"[", "("}) + (happens(6) ? "" : low) + "," + (happens(6) ? "" : high) +
         one_of<std::string>({"]", ")"});
}

std::string RandomValues::range_of_days() {
  if (happens(6)) return "empty";
  return "[2020-" + two_digits(12, 1) + "-01, 2024-01-" + two_digits(28, 1) + ")";
}

std::string RandomValues::range_of_moments() {
  if (happens(6)) return "[\"-infinity\",\"2024-02-29 " + time_of_day() + "\"]";
  return "[\"2020-02-29 " + time_of_day() + "\",\"2024-02-29 " + time_of_day() + "\")";
}

std::string RandomValues::white_space() {
  return happens(4) ? one_of<std::string>({" ", "\n", "\t ", "\r\n", "   "}) : "";
}

std::string RandomValues::json(Json kind, int depth) {
  if (depth < 7 && happens(depth == 0 ? 2 : 3)) return happens(2) ? json_object(kind, depth) : json_array(kind, depth);
  switch (number(4)) {
    case 0:
      return one_of<std::string>({"true", "false", "null"});
    case 1:
      return json_number(kind);
    default:
      return json_string(kind);
  }
}

std::string RandomValues::json_array(Json kind, int depth) {
  std::string out = "[" + white_space();
  for (int i = number(5); i > 0; --i) out += json(kind, depth + 1) + white_space() + (i > 1 ? "," + white_space() : "");
  return out + "]";
}

std::string RandomValues::json_object(Json kind, int depth) {
  std::string out = "{" + white_space();
  for (int i = number(happens(3) ? 16 : 6); i > 0; --i) {
    const std::string key =
        happens(2)
            ? one_of<std::string>({R"("a")", R"("b")", R"("ab")", R"("\u0061")", R"("")", "\"é\"", R"("\u00e9")"})
            : json_string(kind);
    out += key + white_space() + ":" + white_space() + json(kind, depth + 1) + white_space() +
           (i > 1 ? "," + white_space() : "");
  }
  return out + "}";
}

std::string RandomValues::json_number(Json kind) {
  const bool is_extreme = kind == Json::kAny && happens(300);
  std::string out = sign() + (happens(3) ? "0" : std::to_string(number(9) + 1) + digits(number(12)));
  if (happens(2)) out += "." + digits(1 + number(12));
  if (is_extreme) {
    out += "e" + sign() + one_of<std::string>({"16370", "16383", "131060", "131072", "999999999", "9999999999"});
  } else if (happens(3)) {
    out += one_of<std::string>({"e", "E", "e+", "e-", "E-"}) + digits(1 + number(2));
  }
  return out;
}

std::string RandomValues::json_string(Json kind) {
  std::string out = "\"";
  for (int i = number(8); i > 0; --i) {
    out += happens(3) ? one_of<std::string>({R"(\")",
                                             R"(\\)",
                                             R"(\/)",
                                             "/",
                                             R"(\b)",
                                             R"(\f)",
                                             R"(\n)",
                                             R"(\r)",
                                             R"(\t)",
                                             "é",
                                             "€",
                                             "😀",
                                             "\x7f",
                                             R"(\u00e9)",
                                             R"(\u20AC)",
                                             R"(\ud83d\ude00)",
                                             R"(\uD83D\uDE00)",
                                             R"(\u0041)",
                                             R"(\u0022)",
                                             R"(\u005c)",
                                             R"(\u001f)",
                                             R"(\u007f)",
                                             R"(\u000a)"})
                      : std::string(1, static_cast<char>('a' + number(26)));
  }
  if (kind == Json::kAny && happens(200)) out += one_of<std::string>({R"(\u0000)", R"(\ud83d)", R"(\ude00x)"});
  return out + "\"";
}

}  // namespace rt::testing
