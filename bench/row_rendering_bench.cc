// What it costs to tell of rows: by value, and by whole change.
#include <benchmark/benchmark.h>

#include <memory>
#include <string>

#include "domain/changes/builtin_types.h"
#include "domain/changes/json_normal.h"
#include "domain/changes/rendering.h"

namespace {

using namespace rt::changes;

constexpr Oid kTextOid = 25;
constexpr Oid kUuidOid = 2950;
constexpr Oid kInt4Array = 1007;

Types types() {
  Types out;
  out.put({.oid = kInt4Array, .name = "_int4", .schema = "pg_catalog", .element = kInt4Oid});
  return out;
}

std::string json_document(std::size_t bytes) {
  std::string out = "[";
  for (int i = 0; out.size() < bytes; ++i) {
    out += (i == 0 ? "" : ",") + std::string(R"({"name":"somebody with a name","id":)") + std::to_string(i) +
           R"(,"score":1.5e2,"tags":["a","b"],"note":"caf\u00e9"})";
  }
  return out + "]";
}

void bytes_of(benchmark::State& state, std::size_t bytes) {
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * bytes));
}

void value(benchmark::State& state, Oid type, const std::string& text) {
  const Types known = types();
  std::string out;
  for (auto _ : state) {
    out.clear();
    append_json(out, known, type, text);
    benchmark::DoNotOptimize(out.data());
  }
  bytes_of(state, text.size());
}

std::string numbers(int count) {
  std::string out = "{0";
  for (int i = 1; i < count; ++i) out += "," + std::to_string(i);
  return out + "}";
}

void change(benchmark::State& state) {
  Table table{.oid = 1, .schema = "public", .name = "messages"};
  table.columns = {{.name = "id", .type = kInt8Oid, .type_name = "int8", .type_text = "bigint", .is_primary_key = true},
                   {.name = "room_id", .type = kUuidOid, .type_name = "uuid", .type_text = "uuid"},
                   {.name = "author", .type = kUuidOid, .type_name = "uuid", .type_text = "uuid"},
                   {.name = "body", .type = kTextOid, .type_name = "text", .type_text = "text"},
                   {.name = "meta", .type = kJsonbOid, .type_name = "jsonb", .type_text = "jsonb"},
                   {.name = "inserted_at",
                    .type = kTimestampTzOid,
                    .type_name = "timestamptz",
                    .type_text = "timestamp with time zone"}};
  table.primary_key = {0};
  const auto text = [](std::string_view of) { return Value{Value::Kind::kText, of}; };
  const Change inserted{
      .table = std::make_shared<const Table>(std::move(table)),
      .row = {text("123456789"), text("0b5d3f9e-7c1a-4f0e-9d2b-8a6c4e2f1d00"),
              text("7d7f0a55-29a4-4cf8-9a1e-5a51e1f6a001"), text("How is everybody doing today?"),
              text(R"({"edited": false, "mentions": ["alice", "bob"]})"), text("2026-08-21 12:03:56.123456+00")},
      .committed_micros = 838'555'436'123'999};
  const Types known;
  const Shown all(6, true);
  for (auto _ : state) {
    RenderedChange rendered(inserted, known, std::size_t{1} << 20);
    for (int i = 0; i < state.range(0); ++i) benchmark::DoNotOptimize(rendered.data(all));
  }
}

BENCHMARK(change)->ArgName("recipients")->Arg(1)->Arg(10);
BENCHMARK_CAPTURE(value, integer, kInt4Oid, "123456789");
BENCHMARK_CAPTURE(value, text, kTextOid, std::string(1'000, 'x'));
BENCHMARK_CAPTURE(value, integers, kInt4Array, numbers(10'000));
BENCHMARK_CAPTURE(value, timestamp, kTimestampTzOid, "2026-08-21 12:03:56.123456+00");
BENCHMARK_CAPTURE(value, json, kJsonOid, json_document(100'000));
BENCHMARK_CAPTURE(value, jsonb, kJsonbOid, *normalised_json(json_document(100'000)));

}  // namespace
