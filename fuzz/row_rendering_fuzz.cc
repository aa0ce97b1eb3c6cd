// Rows of any bytes: whatever the text of a value is and whatever the catalog says of its type, clients are told JSON.
//
// The first byte chooses the type of a column, the others are its value.
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>

#include "base/check.h"
#include "domain/changes/builtin_types.h"
#include "domain/changes/decoded_size.h"
#include "domain/changes/json_normal.h"
#include "domain/changes/json_string.h"
#include "domain/changes/rendering.h"
#include "protocol/json/walker.h"

namespace {

using namespace rt::changes;

constexpr Oid kTextOid = 25;
constexpr Oid kBoxOid = 603;
// Of users, and made of each other.
constexpr Oid kPair = 20'000;
constexpr Oid kPairs = 20'001;
constexpr Oid kTree = 20'002;
constexpr Oid kLoop = 20'003;
constexpr Oid kLoops = 20'004;
constexpr Oid kWords = 20'005;
constexpr Oid kCircle = 20'006;
constexpr Oid kNothing = 20'007;
constexpr Oid kArrays = 30'000;  // of the type with this oid less

constexpr Oid kTypes[] = {kTextOid,
                          kBoolOid,
                          kByteaOid,
                          kInt8Oid,
                          kNumericOid,
                          kFloat8Oid,
                          kInt2VectorOid,
                          kOidVectorOid,
                          kJsonOid,
                          kJsonbOid,
                          kTimestampOid,
                          kTimestampTzOid,
                          kPair,
                          kPairs,
                          kTree,
                          kLoop,
                          kLoops,
                          kWords,
                          kCircle,
                          kNothing,
                          kArrays + kTextOid,
                          kArrays + kBoxOid,
                          kArrays + kFloat8Oid,
                          kArrays + kJsonOid,
                          kArrays + kJsonbOid,
                          kArrays + kByteaOid,
                          kArrays + kTimestampTzOid,
                          kArrays + kInt2VectorOid,
                          kArrays + kWords};

Types make_types() {
  Types out;
  for (const Oid element :
       {kTextOid, kBoxOid, kFloat8Oid, kJsonOid, kJsonbOid, kByteaOid, kTimestampTzOid, kInt2VectorOid, kWords}) {
    out.put({.oid = kArrays + element,
             .name = "array",
             .schema = "",
             .element = element,
             .delimiter = element == kBoxOid ? ';' : ','});
  }
  const auto composite = [&out](Oid oid, std::vector<TypeField> fields) {
    out.put({.oid = oid, .name = "composite", .schema = "", .kind = TypeKind::kComposite, .fields = std::move(fields)});
  };
  composite(kPair, {{"bb", kInt4Oid}, {"a\xff\"", kTextOid}});
  out.put({.oid = kPairs, .name = "pairs", .schema = "", .element = kPair});
  composite(kTree,
            {{"pairs", kPairs}, {"doc", kJsonOid}, {"at", kTimestampTzOid}, {"n", kFloat8Oid}, {"words", kWords}});
  composite(kLoop, {{"x", kLoops}, {"a", kJsonbOid}});
  out.put({.oid = kLoops, .name = "loops", .schema = "", .element = kLoop});
  out.put({.oid = kWords, .name = "words", .schema = "", .kind = TypeKind::kDomain, .base = kArrays + kTextOid});
  out.put({.oid = kCircle, .name = "circle", .schema = "", .kind = TypeKind::kDomain, .base = kCircle});
  composite(kNothing, {});
  return out;
}

void check_normal_form(std::string_view text) {
  const auto normal = normalised_json(text);
  if (!normal) return;
  RT_CHECK(rt::json::walk_document(text));
  RT_CHECK(normalised_json(*normal) == *normal);
}

void check_value(const Types& types, Oid type, std::string_view text) {
  std::string out = "before";
  append_json(out, types, type, text);
  RT_CHECK(out.starts_with("before"));
  const std::string_view json = std::string_view(out).substr(6);
  const auto walked = rt::json::walk_value(json, kValueDepthMax);
  RT_CHECK(walked && walked->length == json.size());
  check_normal_form(json);

  std::string string;
  append_json_string(string, text);
  RT_CHECK(json_string_size(text) == string.size());
}

void check_row(const Types& types, Oid type, std::string_view text) {
  Table table{.oid = 1, .schema = "public", .name = "fuzzed"};
  table.columns = {{.name = "value", .number = 1, .type = type, .type_name = "t", .type_text = "t"},
                   {.name = "id", .number = 2, .type = kInt4Oid, .type_name = "int4", .type_text = "integer"}};
  const Value value{Value::Kind::kText, text};
  const Change change{.action = Action::kUpdate,
                      .table = std::make_shared<const Table>(std::move(table)),
                      .row = {value, {Value::Kind::kNull}},
                      .before = {{Value::Kind::kAbsent}, value}};
  const std::size_t size = decoded_bytes(change);
  RT_CHECK(size <= decoded_bytes_bound(change));
  for (const std::size_t bytes_max : {size, size - 1}) {
    RenderedChange rendered(change, types, bytes_max, {std::string(text)});
    RT_CHECK(rendered.is_too_large() == (bytes_max < size));
    const std::string data = rendered.data({true, true});
    const auto walked = rt::json::walk_value(data);
    RT_CHECK(walked && walked->length == data.size());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Types kCatalog = make_types();
  if (size == 0) return 0;
  const Oid type = kTypes[data[0] % std::size(kTypes)];
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  check_normal_form(text);
  check_value(kCatalog, type, text);
  check_row(kCatalog, type, text);
  return 0;
}
