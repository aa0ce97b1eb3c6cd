#include "services/ops/exposition.h"

#include <doctest/doctest.h>

namespace rt::ops {
namespace {

constexpr std::array<std::int64_t, 3> kBounds{250, 1'000, 2'500'000};

TEST_CASE(
    "a histogram has cumulative buckets with `le` behind its sorted labels, a rounded sum and a count [M-005] "
    "[M-006]") {
  Histogram<kBounds> histogram;
  histogram.record(250);
  histogram.record(251, 2);
  histogram.record(3'000'000);
  HistogramCounts counts;
  histogram.add_to(counts);
  Exposition out({{"region", "nil"}});
  out.metric("h", MetricType::kHistogram, "Some help.");
  out.histogram(counts, 10, {{"zone", "z"}, {"code", "c"}});
  CHECK(std::move(out).finish() ==
        "# HELP h Some help.\n# TYPE h histogram\n"
        "h_bucket{code=\"c\",region=\"nil\",zone=\"z\",le=\"25.0\"} 1\n"
        "h_bucket{code=\"c\",region=\"nil\",zone=\"z\",le=\"100.0\"} 3\n"
        "h_bucket{code=\"c\",region=\"nil\",zone=\"z\",le=\"2.5e5\"} 3\n"
        "h_bucket{code=\"c\",region=\"nil\",zone=\"z\",le=\"+Inf\"} 4\n"
        "h_sum{code=\"c\",region=\"nil\",zone=\"z\"} 300075\n"
        "h_count{code=\"c\",region=\"nil\",zone=\"z\"} 4\n# EOF\n");
}

TEST_CASE("bounds are written as the reference server does [M-006]") {
  const std::pair<std::int64_t, const char*> bounds[] = {
      {10, "10.0"},        {100, "100.0"},     {250, "250.0"},     {500, "500.0"},     {1'000, "1.0e3"},
      {2'000, "2.0e3"},    {3'000, "3.0e3"},   {5'000, "5.0e3"},   {10'000, "1.0e4"},  {15'000, "1.5e4"},
      {20'000, "2.0e4"},   {25'000, "2.5e4"},  {30'000, "3.0e4"},  {45'000, "4.5e4"},  {60'000, "6.0e4"},
      {90'000, "9.0e4"},   {100'000, "1.0e5"}, {120'000, "1.2e5"}, {500'000, "5.0e5"}, {1'000'000, "1.0e6"},
      {3'000'000, "3.0e6"}};
  for (const auto& [bound, text] : bounds) CHECK(bound_text(bound) == text);
}

TEST_CASE("a scrape has sorted labels, escaped values and an end marker [M-005]") {
  Exposition out({{"region", "nil"}, {"host", "h\"\\\n"}});
  out.metric("m_total", MetricType::kCounter, "Some help.");
  out.sample(3, {{"worker", "0"}});
  out.sample(-4, {{"cause", "x"}, {"a", "y"}});
  CHECK(std::move(out).finish() ==
        "# HELP m_total Some help.\n# TYPE m_total counter\n"
        "m_total{host=\"h\\\"\\\\\\n\",region=\"nil\",worker=\"0\"} 3\n"
        "m_total{a=\"y\",cause=\"x\",host=\"h\\\"\\\\\\n\",region=\"nil\"} -4\n# EOF\n");
}

TEST_CASE("the process tells its memory, CPU time and descriptors") {
  Exposition out({});
  write_process_metrics(out, 1'790'000'000.5);
  const std::string text = std::move(out).finish();
  CHECK(text.find("\nprocess_start_time_seconds 1790000000.5\n") != std::string::npos);
  for (const char* name :
       {"process_cpu_seconds_total ", "process_resident_memory_bytes ", "process_open_fds ", "process_max_fds "}) {
    const std::size_t at = text.find(std::string("\n") + name);
    REQUIRE(at != std::string::npos);
    CHECK(std::stod(text.substr(at + 1 + std::string(name).size())) > 0);
  }
}

}  // namespace
}  // namespace rt::ops
