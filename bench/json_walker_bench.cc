// The JSON walker on payloads of several sizes and kinds, against what could do the same job and what could not be
// beaten.
//
// memchr only looks at each byte: no validation can be faster. simdjson parses into its tree, which we would throw
// away.
#include <benchmark/benchmark.h>

#ifdef RT_HAVE_SIMDJSON
#include <simdjson.h>
#endif

#include <cstring>
#include <string>

#include "protocol/json/walker.h"

namespace {

enum Kind { kCursor, kChat, kNumbers, kEscapes };
constexpr const char* kKindNames[] = {"cursor", "chat", "numbers", "escapes"};

std::string item(Kind kind, std::size_t n) {
  const std::string number = std::to_string(n * 7919 % 100'000);
  switch (kind) {
    case kCursor:
      return R"({"x":)" + number + R"(.25,"y":-12.5,"id":"cursor-)" + number + R"(","down":false})";
    case kChat:
      return R"({"user":"u)" + number + R"(","text":"A sentence of the usual length, as people type it into a chat."})";
    case kNumbers:
      return "[" + number + ",1,2.5,-3e4,0]";
    case kEscapes:
      return R"("line\nbreak \"quoted\" caf\u00e9 \ud83d\ude00 )" + number + "\"";
  }
  return {};
}

// An array of items with at least so many bytes.
std::string payload(Kind kind, std::size_t bytes) {
  std::string text = "[" + item(kind, 0);
  for (std::size_t n = 1; text.size() < bytes; ++n) text += "," + item(kind, n);
  return text + "]";
}

template <class Work>
void measure(benchmark::State& state, Work work) {
  const std::string text = payload(static_cast<Kind>(state.range(0)), static_cast<std::size_t>(state.range(1)));
  for (auto _ : state) benchmark::DoNotOptimize(work(text));
  state.SetLabel(kKindNames[state.range(0)]);
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * text.size()));
}

void walk(benchmark::State& state) {
  measure(state, [](const std::string& text) { return rt::json::walk_document(text); });
}

void look_at_each_byte(benchmark::State& state) {
  measure(state, [](const std::string& text) { return std::memchr(text.data(), '\0', text.size()); });
}

void sizes_and_kinds(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"kind", "bytes"});
  for (const int kind : {kCursor, kChat, kNumbers, kEscapes}) {
    for (const int bytes : {100, 1'000, 64'000}) benchmark->Args({kind, bytes});
  }
}

BENCHMARK(walk)->Apply(sizes_and_kinds);
BENCHMARK(look_at_each_byte)->Apply(sizes_and_kinds);

#ifdef RT_HAVE_SIMDJSON
void parse_with_simdjson(benchmark::State& state) {
  simdjson::dom::parser parser;
  measure(state, [&](const std::string& text) { return parser.parse(text).error(); });
}
BENCHMARK(parse_with_simdjson)->Apply(sizes_and_kinds);
#endif

}  // namespace
