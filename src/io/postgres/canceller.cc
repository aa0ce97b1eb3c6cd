#include "io/postgres/canceller.h"

#include <array>

#include "base/check.h"
#include "libpq/libpq.h"

namespace rt::postgres {

bool Canceller::cancel(std::shared_ptr<pg_cancel> what, std::function<void()> done) {
  const auto pq = libpq();
  RT_CHECK(pq.has_value());  // or there would be no connection
  const bool taken = thread_.post([pq = *pq, what = std::move(what), done = std::move(done)] {
    std::array<char, 256> why;
    // Where it fails, the statement runs to its end or time-out; its answer says which.
    pq->PQcancel(what.get(), why.data(), static_cast<int>(why.size()));
    done();
  });
  if (!taken) ++refused_;
  return taken;
}

}  // namespace rt::postgres
