// What one worker counts of a tenant: written by that worker, read by anyone.
#pragma once

#include <array>
#include <cstdint>

#include "base/histogram.h"
#include "io/net/worker.h"
#include "services/realtime/error_counts.h"

namespace rt::realtime {

// Bytes of a payload, as its limit measures them.
inline constexpr std::array<std::int64_t, 11> kPayloadBounds{250,    500,     1'000,   3'000,     5'000,    10'000,
                                                             25'000, 100'000, 500'000, 1'000'000, 3'000'000};
using PayloadSizes = Histogram<kPayloadBounds>;

struct alignas(64) TenantUsage {  // no worker writes where another one does
  net::Traffic traffic;           // of its sockets
  PayloadSizes broadcasts;        // by its clients and by REST, each once
  PayloadSizes tracks;            // what its clients track
  PayloadSizes changes;           // what its channels are told of rows, each message once
  ErrorCounts errors;             // of its sockets and channels
};

}  // namespace rt::realtime
