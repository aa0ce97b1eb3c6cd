#include "main/node_metrics.h"

#include <doctest/doctest.h>

namespace rt::app {
namespace {

TEST_CASE("the short id of a node is of its address, where that is not just local [M-004]") {
  CHECK(node_id("realtime@fdaa:0:cc:a7b:b385:83c3:cfe3:2") == "83c3cfe3");
  CHECK(node_id("realtime@127.0.0.1") == "realtime@127.0.0.1");
  CHECK(node_id("realtime@10.0.0.7") == "10.0.0.7");
  CHECK(node_id("realtime@::1") == "::1");
}

}  // namespace
}  // namespace rt::app
