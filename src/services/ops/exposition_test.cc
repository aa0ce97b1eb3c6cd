#include "services/ops/exposition.h"

#include <doctest/doctest.h>

namespace rt::ops {
namespace {

TEST_CASE("a scrape has sorted labels, escaped values and an end marker") {
  Exposition out({{"region", "nil"}, {"host", "h\"\\\n"}});
  out.metric("m_total", MetricType::kCounter, "Some help.");
  out.sample(3, {{"worker", "0"}});
  out.sample(4, {{"cause", "x"}});
  CHECK(std::move(out).finish() ==
        "# HELP m_total Some help.\n# TYPE m_total counter\n"
        "m_total{host=\"h\\\"\\\\\\n\",region=\"nil\",worker=\"0\"} 3\n"
        "m_total{cause=\"x\",host=\"h\\\"\\\\\\n\",region=\"nil\"} 4\n# EOF\n");
}

TEST_CASE("the process tells its memory, CPU time and descriptors") {
  Exposition out({});
  write_process_metrics(out);
  const std::string text = std::move(out).finish();
  for (const char* name :
       {"process_cpu_seconds_total ", "process_resident_memory_bytes ", "process_open_fds ", "process_max_fds "}) {
    const std::size_t at = text.find(std::string("\n") + name);
    REQUIRE(at != std::string::npos);
    CHECK(std::stod(text.substr(at + 1 + std::string(name).size())) > 0);
  }
}

}  // namespace
}  // namespace rt::ops
