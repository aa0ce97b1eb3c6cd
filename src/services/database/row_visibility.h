// Which rows somebody may see, as the policies of their table say now: a row is looked for by its primary key, under
// the role and the claims of whoever is to be told of it.
//
// All rows of a batch are asked for at once, so what it costs grows with the rows and with those who ask, not with one
// times the other. What was committed can be read from the log before anybody sees it, and much earlier where a standby
// has to confirm it; a look at that time would find nothing. So each answer comes with whether the transactions of the
// batch were visible by then, and the questions are asked again until they were.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "io/postgres/event.h"
#include "io/postgres/pool.h"
#include "services/database/visibility_keys.h"

namespace rt::database {

// In whose name is read: who has the same of both is the same to every policy.
struct Viewer {
  std::string role;
  std::string claims;  // a JSON object
};

struct VisibilityQuestion {
  std::shared_ptr<const Viewer> viewer;
  std::shared_ptr<const VisibilityKeys> keys;
  std::vector<bool> is_visible;  // the answer, for each of them
};

struct VisibilityConfig {
  std::chrono::milliseconds timeout{5'000};          // of what a policy may take for the rows of one question
  std::chrono::milliseconds visible_within{10'000};  // a transaction that is not visible by then is taken as it is
};

// What the log is told: `code` is a literal.
using VisibilityLog = std::function<void(std::string_view code, const std::string& text)>;

// Answers all of them. A question that fails, for its role or for its policies, is asked again row by row, and what
// fails then is not visible. The error: the database could not be asked. Stops to wait for transactions once `stopped`
// is set.
postgres::Task<postgres::Result<void>> ask_visibility(postgres::Pool& pool, boost::asio::io_context& io,
                                                      const Clock& clock, postgres::Event& stopped,
                                                      const VisibilityConfig& config,
                                                      std::vector<std::uint32_t> transactions,
                                                      std::vector<VisibilityQuestion>& questions,
                                                      const VisibilityLog& log);

}  // namespace rt::database
