// One random history of a cluster of 3 to 7 nodes: clients come and go while the network and the nodes fail, then all
// is well again, and everybody has to agree with the model. What happens follows from the seed alone.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace rt {

struct HistoryOutcome {
  std::string fault;  // empty: all went well
  std::uint64_t messages = 0;
  std::uint64_t events = 0;  // of clients
};

HistoryOutcome run_presence_history(std::uint64_t seed);

}  // namespace rt
